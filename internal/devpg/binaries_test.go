//go:build unix

package devpg

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// machineHasBinaries tells whether the binaries must work, or must be missed.
func machineHasBinaries() bool {
	return os.Getenv("IDEMTX_POSTGRES") == "binaries" || len(binDirs(os.Getenv("PATH"), "/usr/lib/postgresql")) > 0
}

func TestBinaries(t *testing.T) {
	t.Parallel()
	if !machineHasBinaries() {
		p := spawn(t, executable(t), "close", nil, "IDEMTX_POSTGRES=binaries")
		require.Error(t, p.Wait())
		require.Contains(t, p.line, "IDEMTX_POSTGRES=binaries: no PostgreSQL binaries on PATH")
		return
	}
	t.Run("Serve", testServe)
	t.Run("OrdinaryUser", testOrdinaryUser)
	t.Run("InterruptIsForTheProcess", testInterrupt)
	for name, end := range map[string]func(*process) error{
		"panic":     func(p *process) error { return p.in.Close() },
		"exit":      func(p *process) error { return p.in.Close() },
		"kill":      func(p *process) error { return p.Process.Kill() },
		"interrupt": func(p *process) error { return syscall.Kill(-p.Process.Pid, syscall.SIGINT) }, // as Ctrl-C does
	} {
		t.Run("NothingIsLeftAfter/"+name, func(t *testing.T) {
			t.Parallel()
			p := spawn(t, executable(t), name, &syscall.SysProcAttr{Setpgid: true}, "IDEMTX_POSTGRES=binaries")
			require.NotEmpty(t, p.url, p.line)
			data := ask(t, p.url, "SHOW data_directory")
			pid := ask(t, p.url, "SELECT split_part(pg_read_file('postmaster.pid'), E'\n', 1)")
			require.NoError(t, end(p))
			require.Error(t, p.Wait())
			gone(t, filepath.Dir(data), pid)
		})
	}
}

func testServe(t *testing.T) {
	t.Parallel()
	p := spawn(t, executable(t), "close", nil, "IDEMTX_POSTGRES=binaries",
		"PGDATA=/nowhere", "PGPORT=1", "LC_ALL=xx_YY.UTF-8", "TMPDIR=/nowhere")
	require.NotEmpty(t, p.url, p.line)
	require.Equal(t, "200", ask(t, p.url, "SHOW max_connections"))
	require.Equal(t, "on", ask(t, p.url, "SHOW fsync"))
	_, err := pgx.Connect(t.Context(), strings.Replace(p.url, "://postgres:", "://postgres:wrong", 1))
	require.ErrorContains(t, err, "28P01", "the server must ask for its password on the loopback interface")
	data := ask(t, p.url, "SHOW data_directory")
	p.finish(t)
	require.NoDirExists(t, filepath.Dir(data))
}

func testInterrupt(t *testing.T) {
	t.Parallel()
	p := spawn(t, executable(t), "ignore", &syscall.SysProcAttr{Setpgid: true}, "IDEMTX_POSTGRES=binaries")
	require.NotEmpty(t, p.url, p.line)
	require.NoError(t, syscall.Kill(-p.Process.Pid, syscall.SIGINT))
	require.Equal(t, "1", ask(t, p.url, "SELECT '1'"))
	p.finish(t)
}

// gone waits until the folder and the server are no more.
func gone(t *testing.T, dir, pid string) {
	t.Helper()
	server, err := strconv.Atoi(pid)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, err := os.Stat(dir)
		return errors.Is(err, fs.ErrNotExist) && errors.Is(syscall.Kill(server, 0), syscall.ESRCH)
	}, time.Minute, 20*time.Millisecond, "%s or the server in it is still there", dir)
}

func testOrdinaryUser(t *testing.T) {
	t.Parallel()
	attr := new(syscall.SysProcAttr)
	if os.Geteuid() == 0 {
		attr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	}
	// Folders made for this test, and the one it is built in, are closed to others.
	dir := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
	binary, err := os.ReadFile(executable(t))
	require.NoError(t, err)
	exe := filepath.Join(dir, "devpg.test")
	require.NoError(t, os.WriteFile(exe, binary, 0o755))

	p := spawn(t, exe, "close", attr, "IDEMTX_POSTGRES=binaries")
	require.NotEmpty(t, p.url, p.line)
	data := ask(t, p.url, "SHOW data_directory")
	p.finish(t)
	require.NoDirExists(t, filepath.Dir(data))
}

func TestBinDirs(t *testing.T) {
	t.Parallel()
	install := func(parts ...string) string {
		dir := filepath.Join(parts...)
		require.NoError(t, os.MkdirAll(dir, 0o755))
		for _, name := range []string{"initdb", "pg_ctl", "postgres"} {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o755))
		}
		return dir
	}
	root, path := t.TempDir(), t.TempDir()
	nine, ten := install(root, "9.6", "bin"), install(root, "10", "bin")
	seventeen, own := install(root, "17", "bin"), install(path, "own")
	clientOnly := install(root, "18", "bin")
	require.NoError(t, os.Remove(filepath.Join(clientOnly, "postgres")))

	list := strings.Join([]string{path, own, ten, "relative"}, string(filepath.ListSeparator))
	require.Equal(t, []string{own, ten, seventeen, nine}, binDirs(list, root))
	require.Empty(t, binDirs("", path))
}
