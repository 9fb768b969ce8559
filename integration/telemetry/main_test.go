// Package telemetry tests what idemtx tells of itself at a real PostgreSQL: the metrics
// and spans of idemotel, and what is logged.
package telemetry

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
