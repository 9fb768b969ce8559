//go:build linux

// Package pgnode starts PostgreSQL servers that belong to one test, which may
// kill them, freeze them and let one take over from another.
//
// They are run from the binaries that devpg finds, listen on 127.0.0.1 and ask
// for a random password. They are gone when the test is over, and when its
// process is, however that ends.
//
// A failure here is fatal to the test, so all of this is called from the test's
// own goroutine.
package pgnode

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// patience is how long anything here may take. It is never reached but when
// something is broken.
const patience = time.Minute

// Node is a server, or a standby.
type Node struct {
	tb   testing.TB
	home *home
	dir  string // holds the folder of its data, and its log
	port int
	env  []string // what the server has of an environment, beside what all programs have

	server *exec.Cmd     // nil while it is down
	ended  chan struct{} // closed when the server has ended
	frozen []int         // the processes that Freeze has stopped
}

// New starts a server whose superuser is postgres, with settings such as
// "max_connections=50". Where there are no binaries, the test is skipped, unless
// IDEMTX_TOOLS says that they are required.
func New(tb testing.TB, settings ...string) *Node {
	tb.Helper()
	n := newNode(tb)
	n.run("cp", "-a", n.home.template, n.data())
	if err := appendTo(filepath.Join(n.data(), "postgresql.conf"), strings.Join(settings, "\n")); err != nil {
		tb.Fatal(err)
	}
	n.startAnywhere()
	return n
}

// Setenv gives the server a variable of the environment, from its next start on.
func (n *Node) Setenv(name, value string) { n.env = append(n.env, name+"="+value) }

// newNode makes a node without data.
func newNode(tb testing.TB) *Node {
	tb.Helper()
	h := openHome(tb)
	n := &Node{tb: tb, home: h, dir: h.newDir()}
	n.run("mkdir", n.dir)
	tb.Cleanup(n.remove)
	return n
}

// URL is where the node is, over all its stops and starts.
func (n *Node) URL() string { return n.home.url("", n) }

// URL names all nodes, and takes a client to the first that accepts writes.
func URL(nodes ...*Node) string {
	return nodes[0].home.url("&target_session_attrs=read-write", nodes...)
}

func (h *home) url(more string, nodes ...*Node) string {
	hosts := make([]string, len(nodes))
	for i, n := range nodes {
		hosts[i] = fmt.Sprintf("127.0.0.1:%d", n.port)
	}
	return "postgres://postgres:" + h.password + "@" + strings.Join(hosts, ",") + "/postgres?sslmode=disable" + more
}

func (n *Node) data() string { return filepath.Join(n.dir, "data") }

// write replaces a file of the data, which the server's user is to own.
func (n *Node) write(name, text string) {
	n.tb.Helper()
	if err := n.home.write(filepath.Join(n.data(), name), text); err != nil {
		n.tb.Fatal(err)
	}
}

func (n *Node) run(name string, args ...string) {
	n.tb.Helper()
	if err := n.home.run(name, args...); err != nil {
		n.tb.Fatal(err)
	}
}

// remove is the end of the node. What a failed test has to say about it is in its
// log.
func (n *Node) remove() {
	if n.server != nil {
		n.Kill()
	}
	if n.tb.Failed() {
		n.tb.Logf("the log of the node on port %d ends:\n%s", n.port, n.logTail())
	}
	if err := os.RemoveAll(n.dir); err != nil {
		n.tb.Error(err)
	}
}

// await waits until done has come true.
func (n *Node) await(what string, done func() bool) {
	n.tb.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !done(); <-tick.C {
		if time.Now().After(deadline) {
			n.tb.Fatalf("pgnode: it takes more than %s that %s", patience, what)
		}
	}
}

// ask returns the one value of a query, from a connection of its own.
func ask[T any](n *Node, sql string, args ...any) T {
	n.tb.Helper()
	var value T
	n.connected(func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, sql, args...).Scan(&value)
	})
	return value
}

// connected runs f with a connection of its own. It works in a cleanup, too.
func (n *Node) connected(f func(context.Context, *pgx.Conn) error) {
	n.tb.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(n.tb.Context()), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, n.URL())
	if err == nil {
		defer conn.Close(ctx)
		err = f(ctx, conn)
	}
	if err != nil {
		n.tb.Fatalf("pgnode: %v", err)
	}
}
