//go:build linux

package pgnode

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// What is left behind depends on how a process ends. So these tests run the test
// binary again as a child, which starts nodes and ends as it is told.

// ending is the variable that makes this binary a child, and how that ends.
const ending = "PGNODE_TEST_ENDING"

// child has a primary with a backend that is busy, a standby that is frozen, and
// a node that is down.
func child(t *testing.T, how string) {
	t.Helper()
	primary := New(t)
	primary.Standby("second").Freeze()
	New(t).Kill()
	conn, err := pgx.Connect(t.Context(), primary.URL())
	require.NoError(t, err)
	go func() { _, _ = conn.Exec(context.Background(), "SELECT count(*) FROM generate_series(1, 1e12)") }()
	primary.await("the backend is busy", func() bool {
		return ask[bool](primary, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE state = 'active' AND pid = $1)", conn.PgConn().PID())
	})
	fmt.Println(primary.home.dir)
	_, _ = io.Copy(io.Discard, os.Stdin) // until the test says go on, or kills
	switch how {
	case "panic":
		go func() { panic("in a goroutine that nobody recovers") }()
		select {}
	case "exit":
		os.Exit(3)
	}
}

func TestNothingIsLeft(t *testing.T) {
	t.Parallel()
	if how := os.Getenv(ending); how != "" {
		child(t, how)
		return
	}
	for how, end := range map[string]func(*exec.Cmd, io.Closer) error{
		"pass":      func(_ *exec.Cmd, in io.Closer) error { return in.Close() },
		"panic":     func(_ *exec.Cmd, in io.Closer) error { return in.Close() },
		"exit":      func(_ *exec.Cmd, in io.Closer) error { return in.Close() },
		"kill":      func(c *exec.Cmd, _ io.Closer) error { return c.Process.Kill() },
		"interrupt": func(c *exec.Cmd, _ io.Closer) error { return syscall.Kill(-c.Process.Pid, syscall.SIGINT) }, // as Ctrl-C does
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			nothingIsLeft(t, how, end)
		})
	}
}

func nothingIsLeft(t *testing.T, how string, end func(*exec.Cmd, io.Closer) error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), executable(t), "-test.run=^TestNothingIsLeft$")
	cmd.Env = append(os.Environ(), ending+"="+how, "PGDATA=/nowhere", "PGPORT=1", "PGSSLMODE=require", "LC_ALL=xx_YY.UTF-8")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if os.Geteuid() == 0 && how == "kill" { // one of them as an ordinary user
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	}
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	require.NoError(t, cmd.Start())
	lines := bufio.NewReader(out)
	dir, err := lines.ReadString('\n')
	require.NoError(t, err, "%s%s", dir, &stderr)
	dir = strings.TrimSpace(dir)
	segments := sharedMemory(t, dir, "*")
	require.Len(t, segments, 2, "of the primary and the standby")
	for _, id := range segments {
		require.Contains(t, allSharedMemory(t), id)
	}

	require.NoError(t, end(cmd, in))
	_, _ = io.Copy(io.Discard, lines)
	if err := cmd.Wait(); how == "pass" {
		require.NoError(t, err)
	} else {
		require.Error(t, err)
	}
	root := &Node{dir: dir}
	require.Eventually(t, func() bool {
		_, err := os.Stat(dir)
		return os.IsNotExist(err) && len(root.processes()) == 0
	}, time.Minute, 20*time.Millisecond, dir)
	for _, id := range segments {
		require.NotContains(t, allSharedMemory(t), id)
	}
}

// executable is this binary where any user may run it.
func executable(t *testing.T) string {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	binary, err := os.ReadFile(exe)
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
	exe = filepath.Join(dir, "pgnode.test")
	require.NoError(t, os.WriteFile(exe, binary, 0o755))
	return exe
}

// sharedMemory returns the ids of the segments of the servers in the nodes' folders.
func sharedMemory(t *testing.T, home, nodes string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(home, nodes, "data", "postmaster.pid"))
	require.NoError(t, err)
	var ids []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		ids = append(ids, strings.Fields(strings.Split(string(text), "\n")[6])[1])
	}
	return ids
}

// allSharedMemory returns the ids of all segments there are.
func allSharedMemory(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("/proc/sysvipc/shm")
	require.NoError(t, err)
	var ids []string
	for line := range strings.Lines(string(text)) {
		ids = append(ids, strings.Fields(line)[1])
	}
	return ids
}
