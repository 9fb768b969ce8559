// Package pressure tests what is left behind: of calls whose context ends, whose
// handler does not return, or whose pool is small, hot, or closed under them.
//
// Its tests look at every goroutine of the process, so they run one at a time, and
// in a process of their own.
package pressure

import (
	"flag"
	"os"
	"testing"

	"github.com/idemtx/idemtx/internal/devpg"
)

// server is the one PostgreSQL of these tests and of their children.
var server *devpg.Server

func TestMain(m *testing.M) {
	if task := os.Getenv(childTask); task != "" {
		os.Exit(child(task))
	}
	server = devpg.MustStart()
	// Tests that are parallel here wait for time to pass, and need no processor each.
	flag.Parse()
	_ = flag.Set("test.parallel", "8")
	code := m.Run()
	server.Close()
	os.Exit(code)
}
