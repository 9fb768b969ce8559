//go:build unix

package devpg

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// What Start finds depends on the environment, and what it leaves behind on how
// a process ends. So these tests run the test binary again as a child, which
// starts a server, reports it, and ends as it is told.

// ending is the variable that makes this binary a child, and how that ends.
const ending = "DEVPG_TEST_ENDING"

func TestMain(m *testing.M) {
	if how := os.Getenv(ending); how != "" {
		os.Exit(child(how))
	}
	os.Exit(m.Run())
}

func child(how string) int {
	if how == "ignore" {
		signal.Notify(make(chan os.Signal, 1), os.Interrupt)
	}
	logged := 0
	s, err := Start(context.Background(), func(line string) { fmt.Println(line); logged++ })
	if err != nil {
		fmt.Println(oneLine(err.Error()))
		return 1
	}
	fmt.Println(s.URL)
	_, _ = io.Copy(io.Discard, os.Stdin) // until the test says go on, or kills
	switch how {
	case "panic":
		go func() { panic("in a goroutine that nobody recovers") }()
		select {}
	case "exit":
		return 3
	}
	s.Close()
	return logged - 1 // one line of Start, none of a Close that has nothing to complain of
}

// process is a running child.
type process struct {
	*exec.Cmd
	in     io.Closer
	line   string // what Start logged, or why it failed
	url    string // empty when Start failed
	stderr *bytes.Buffer
}

// spawn runs this binary until its Start has returned. Every child sees the
// environment of the tests without DATABASE_URL, changed by env.
func spawn(t *testing.T, binary, how string, attr *syscall.SysProcAttr, env ...string) *process {
	t.Helper()
	// A promise of devpg: whatever is wrong with an engine costs seconds. A
	// container on a busy machine may take some more.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, binary)
	cmd.Env = append(os.Environ(), "DATABASE_URL=", ending+"="+how)
	cmd.Env = append(cmd.Env, env...)
	cmd.SysProcAttr = attr
	cmd.Dir = "/"
	p := &process{Cmd: cmd, stderr: new(bytes.Buffer)}
	cmd.Stderr = p.stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	p.in = in
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())

	lines := bufio.NewReader(out)
	p.line, _ = lines.ReadString('\n')
	p.url, _ = lines.ReadString('\n')
	p.url = strings.TrimSpace(p.url)
	require.NoError(t, ctx.Err(), "Start took more than a minute")
	return p
}

// finish lets the child go on and checks that it closed its server in peace.
func (p *process) finish(t *testing.T) {
	t.Helper()
	require.NotEmpty(t, p.url, "%s%s", p.line, p.stderr)
	require.NoError(t, p.in.Close())
	require.NoError(t, p.Wait(), p.stderr)
	require.Empty(t, p.stderr.String(), "testcontainers is silent")
}

func executable(t *testing.T) string {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	return exe
}

// ask returns the one value of a query.
func ask(t *testing.T, url, query string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	var value string
	require.NoError(t, conn.QueryRow(t.Context(), query).Scan(&value))
	return value
}

func TestURL(t *testing.T) {
	t.Parallel()
	s, err := Start(t.Context(), func(line string) { t.Log(line) })
	require.NoError(t, err)
	t.Cleanup(s.Close)

	p := spawn(t, executable(t), "close", nil, "IDEMTX_POSTGRES=", "DATABASE_URL="+s.URL)
	require.Contains(t, p.line, "from DATABASE_URL\n")
	require.Equal(t, s.URL, p.url)
	p.finish(t)
	require.Equal(t, "1", ask(t, s.URL, "SELECT '1'"), "Close stopped a server that is not its own")
}

func TestBrokenURL(t *testing.T) {
	t.Parallel()
	for _, forced := range []string{"", "url"} {
		p := spawn(t, executable(t), "close", nil, "IDEMTX_POSTGRES="+forced,
			"DATABASE_URL=postgres://someone:secret@127.0.0.1:1/nothing")
		require.Error(t, p.Wait())
		require.Contains(t, p.line, "DATABASE_URL is set but cannot be used")
		require.NotContains(t, p.line, "secret")
	}
}

func TestContainer(t *testing.T) {
	t.Parallel()
	p := spawn(t, executable(t), "close", nil, "IDEMTX_POSTGRES=container")
	if p.url == "" && os.Getenv("IDEMTX_POSTGRES") != "container" {
		require.Error(t, p.Wait())
		require.Regexp(t, `^devpg: IDEMTX_POSTGRES=container: \w+`, p.line)
		return
	}
	require.Contains(t, p.line, "from a container of ")
	require.Equal(t, "200", ask(t, p.url, "SHOW max_connections"))
	require.Equal(t, "on", ask(t, p.url, "SHOW fsync"))
	require.Equal(t, dataDir+"/data", ask(t, p.url, "SHOW data_directory"))
	p.finish(t)
}

func TestContainerWithoutItsImage(t *testing.T) {
	t.Parallel()
	p := spawn(t, executable(t), "close", nil, "IDEMTX_POSTGRES=container",
		"IDEMTX_POSTGRES_IMAGE=127.0.0.1:1/no/such:image")
	require.Error(t, p.Wait())
	require.Regexp(t, "^devpg: IDEMTX_POSTGRES=container: (no container engine|docker pull 127.0.0.1:1/no/such:image): ", p.line)
}

func TestEngineThatNeverAnswers(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "docker.sock")
	l, err := net.Listen("unix", socket)
	require.NoError(t, err)
	// The kernel accepts what connects; nobody reads it.
	t.Cleanup(func() { _ = l.Close() })

	p := spawn(t, executable(t), "close", nil, "IDEMTX_POSTGRES=", "DOCKER_HOST=unix://"+socket)
	require.Contains(t, p.line, "has not answered within")
	if machineHasBinaries() {
		require.Contains(t, p.line, "from the binaries in ")
		p.finish(t)
		return
	}
	require.Contains(t, p.line, "apt-get install postgresql")
	require.Error(t, p.Wait())
}
