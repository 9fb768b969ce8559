package history

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain has the program be a process of a round when it was started as one.
func TestMain(m *testing.M) {
	if task := os.Getenv(childTask); task != "" {
		os.Exit(beChild(task))
	}
	goleak.VerifyTestMain(m)
}
