// Package outbox kills examples/orders around the transaction in which it places an
// order and enqueues its confirmation mail, and around the call with which a worker
// sends it, and counts orders, jobs and mails.
//
// The program is as its users build it. It is held, and killed, from outside: by locks
// in PostgreSQL, by what stands between it and the server, and by what stands before
// the mail provider.
package outbox

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/idemtx/idemtx/internal/devpg"
)

var (
	server  *devpg.Server // of these tests and of the processes in them
	program string        // the path of examples/orders
)

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	folder, err := os.MkdirTemp("", "idemtx-outbox-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(folder) }()
	program = filepath.Join(folder, "orders")
	// The version of a checkout that belongs to somebody else cannot be read.
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", program, "../../examples/orders").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
		return 1
	}
	server = devpg.MustStart()
	defer server.Close()
	// Each test has several processes, with a pool each, and the server a hundred connections.
	flag.Parse()
	_ = flag.Set("test.parallel", "4")
	return m.Run()
}
