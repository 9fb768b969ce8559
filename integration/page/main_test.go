// Package page tests the pages of idemui: what they say of a real table, what they
// keep to themselves, and how they are in a real browser.
//
// The browser is Chromium, from Debian's package of that name. Without it those tests
// are skipped, unless IDEMTX_TOOLS=required. Screenshots are left in the folder
// IDEMTX_ARTIFACTS, or in that of go test -artifacts.
package page

import (
	"os"
	"testing"

	"github.com/idemtx/idemtx/internal/devpg"
)

// server is the one PostgreSQL of these tests; each has a schema of its own.
var server *devpg.Server

func TestMain(m *testing.M) {
	server = devpg.MustStart()
	code := m.Run()
	browser.close()
	server.Close()
	os.Exit(code)
}
