// Package wait is for what is bound to come.
package wait

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	patience = time.Minute
	tick     = 5 * time.Millisecond
)

// Until waits until what is looked for has come true. It looks from the test's own
// goroutine.
func Until(tb testing.TB, what string, done func() bool) {
	tb.Helper()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for deadline := time.Now().Add(patience); !done(); <-ticker.C {
		if time.Now().After(deadline) {
			require.FailNow(tb, "it does not come true that "+what)
		}
	}
}
