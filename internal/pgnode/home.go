//go:build linux

package pgnode

import (
	"bufio"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/idemtx/idemtx/internal/devpg"
)

//go:embed janitor.sh
var janitorScript string

// home is the folder of all nodes of this process. A janitor owns it.
type home struct {
	bin, dir string
	password string
	template string // data of a server that was never started
	nodes    atomic.Int64
	// The janitor waits for this end of its pipe to close, which it does with the
	// process. Held here, because a file that nobody holds is closed.
	control *os.File
}

// settings suit what a test does with a node. A SIGKILL loses nothing that was
// written, so fsync has nothing to add; it may cut a page in two, which is what
// full_page_writes, left on, is for. How long a node is frozen or down must not
// matter: no timeout ends a connection to a standby, and WAL is kept for it.
const settings = `
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
fsync = off
shared_buffers = 16MB
max_wal_size = 256MB
wal_keep_size = 64MB
wal_sender_timeout = 0
wal_receiver_timeout = 0
wal_retrieve_retry_interval = 100ms
dynamic_shared_memory_type = mmap # a file of the data, not one in /dev/shm that a SIGKILL leaves
autovacuum = off
timezone = 'UTC'
`

var errNoBinaries = errors.New("pgnode: no PostgreSQL binaries on PATH or under /usr/lib/postgresql/*/bin")

var homeOnce = sync.OnceValues(makeHome)

func openHome(tb testing.TB) *home {
	tb.Helper()
	h, err := homeOnce()
	if err != nil {
		giveUp(tb, err, os.Getenv("IDEMTX_TOOLS") == "required")
	}
	return h
}

// giveUp ends a test that cannot have a server.
func giveUp(tb testing.TB, err error, required bool) {
	tb.Helper()
	if errors.Is(err, errNoBinaries) && !required {
		tb.Skip(err)
	}
	tb.Fatal(err)
}

func makeHome() (*home, error) {
	bins := devpg.Binaries()
	if len(bins) == 0 {
		return nil, errNoBinaries
	}
	// Not every program of a server is where only some are linked to.
	postgres, err := filepath.EvalSymlinks(filepath.Join(bins[0], "postgres"))
	if err != nil {
		return nil, err
	}
	h := &home{bin: filepath.Dir(postgres), password: rand.Text()}
	if err := h.hireJanitor(); err != nil {
		return nil, err
	}
	h.template = filepath.Join(h.dir, "template")
	password := filepath.Join(h.dir, "password")
	if err := h.write(password, h.password+"\n"); err != nil {
		return nil, err
	}
	if err := h.run("initdb", "-D", h.template, "-U", "postgres", "--pwfile="+password, "--auth=scram-sha-256",
		"--encoding=UTF8", "--no-locale", "--no-sync", "--wal-segsize=1"); err != nil {
		return nil, err
	}
	return h, appendTo(filepath.Join(h.template, "postgresql.conf"), settings)
}

// appendTo adds text to a file, whose owner stays the same.
func appendTo(path, text string) error {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text + "\n")
	return errors.Join(err, file.Close())
}

// hireJanitor starts the process that removes everything when this one has ended.
func (h *home) hireJanitor() error {
	cmd, err := devpg.Shell(janitorScript)
	if err != nil {
		return err
	}
	stdin, control, err := os.Pipe()
	if err != nil {
		return err
	}
	h.control = control
	stdout, out, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, out, out
	err = cmd.Start()
	_, _ = stdin.Close(), out.Close() // the janitor has its own
	if err != nil {
		return err
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	_ = stdout.Close()
	if h.dir = strings.TrimSpace(line); err != nil || !filepath.IsAbs(h.dir) {
		return fmt.Errorf("pgnode: no janitor: %s: %w", line, err)
	}
	return nil
}

func (h *home) newDir() string {
	return filepath.Join(h.dir, strconv.FormatInt(h.nodes.Add(1), 10))
}

// run runs a program to its end.
func (h *home) run(name string, args ...string) error {
	cmd, err := h.command(name, args...)
	if err != nil {
		return err
	}
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("pgnode: %s: %w: %s", name, err, output)
	}
	return nil
}

// command returns a program of PostgreSQL's or the system's. It works inside the
// home: that is how the janitor knows whom to end. This process's environment is
// not for it, as a PGSSLMODE of the user's would be obeyed.
func (h *home) command(name string, args ...string) (*exec.Cmd, error) {
	attr, err := devpg.ServerAttr()
	if err != nil {
		return nil, err
	}
	if path := filepath.Join(h.bin, name); isFile(path) {
		name = path
	}
	cmd := exec.Command(name, args...)
	cmd.Dir = h.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "PGPASSWORD=" + h.password}
	cmd.SysProcAttr = attr
	return cmd, nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// write replaces a file, which the server's user is to own.
func (h *home) write(path, text string) error {
	cmd, err := h.command("sh", "-c", `umask 077; cat >"$1"`, "sh", path)
	if err != nil {
		return err
	}
	cmd.Stdin = strings.NewReader(text)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("pgnode: write %s: %w: %s", filepath.Base(path), err, output)
	}
	return nil
}
