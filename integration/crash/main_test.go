// Package crash lets every step of Do, DoBatch, DoTx and DoPool die in every way, and
// sees what is left, what the caller is told and what a retry gets. CRASHES.md
// in the root is the table of it.
package crash

import (
	"os"
	"testing"

	"github.com/idemtx/idemtx/internal/devpg"
)

// server is the one PostgreSQL of the rows in which none dies.
var server *devpg.Server

func TestMain(m *testing.M) {
	if os.Getenv(childhood) != "" {
		live()
	}
	server = devpg.MustStart()
	code := m.Run()
	server.Close()
	os.Exit(code)
}
