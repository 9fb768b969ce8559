// Package snippets holds the documentation to what it shows: Go code of the pages
// is compiled and run here, their SQL is run, their commands and links lead
// somewhere, and what is exported has an example.
package snippets

import (
	"os"
	"testing"

	"github.com/idemtx/idemtx/internal/devpg"
)

// server is the one PostgreSQL of these tests.
var server *devpg.Server

func TestMain(m *testing.M) {
	server = devpg.MustStart()
	code := m.Run()
	server.Close()
	os.Exit(code)
}
