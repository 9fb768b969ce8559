package integration

import (
	"encoding/binary"
	"os"
	osexec "os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/internal/pgnode"
)

// skewed is a fixture on a server whose clock is wrong.
type skewed struct {
	*fixture
	node *pgnode.Node
	file *os.File
	by   time.Duration
}

// newSkewed starts a server whose clock is wrong by so much. Its clock is a function
// of the C library, in whose place testdata/clock.c is loaded.
func newSkewed(t *testing.T, by time.Duration, options ...option) *skewed {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o711)) // the server's user has to get in
	library, file := filepath.Join(dir, "clock.so"), filepath.Join(dir, "clock")
	output, err := osexec.CommandContext(t.Context(), tool(t, "gcc", "gcc"), "-shared", "-fPIC", "-O1",
		"-o", library, filepath.Join("testdata", "clock.c")).CombinedOutput()
	require.NoError(t, err, "%s", output)

	s := &skewed{node: pgnode.New(t)}
	s.file, err = os.Create(file)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.file.Close() })
	require.NoError(t, os.Chmod(file, 0o644))
	s.set(t, by)
	s.node.Stop()
	s.node.Setenv("LD_PRELOAD", library)
	s.node.Setenv("CLOCK", file)
	s.node.Start()
	s.fixture = onNode(t, s.node, options...)
	require.InDelta(t, by.Seconds(), time.Until(s.now()).Seconds(), 60, "the server's clock is not wrong")
	return s
}

// set makes the clock wrong by so much, from now on.
func (s *skewed) set(t *testing.T, by time.Duration) {
	t.Helper()
	s.by = by
	_, err := s.file.WriteAt(binary.NativeEndian.AppendUint64(nil, uint64(by.Microseconds())), 0)
	require.NoError(t, err)
}

// step moves the clock, as whoever corrects it does.
func (s *skewed) step(t *testing.T, by time.Duration) {
	t.Helper()
	s.set(t, s.by+by)
}

// another is what another process has: the same server, and a pool of its own.
func (s *skewed) another(t *testing.T, options ...option) *fixture {
	t.Helper()
	return onNode(t, s.node, options...)
}

// now is the time by the server's clock.
func (s *skewed) now() (now time.Time) {
	s.t.Helper()
	require.NoError(s.t, s.pool.QueryRow(s.t.Context(), "SELECT clock_timestamp()").Scan(&now))
	return now
}

// leaseUntil is until when a key is claimed.
func (s *skewed) leaseUntil(key string) (until time.Time) {
	s.t.Helper()
	require.NoError(s.t, s.pool.QueryRow(s.t.Context(),
		"SELECT lease_until FROM idemtx_replies WHERE key = $1", key).Scan(&until))
	return until
}
