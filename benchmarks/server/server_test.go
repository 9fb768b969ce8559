package server_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/benchmarks/server"
)

// folder is one that the server's user may write, on a disk or in memory.
func folder(t *testing.T, parent string) string {
	t.Helper()
	dir, err := os.MkdirTemp(parent, "benchmarks-test") //nolint:usetesting // TempDir's folder has a parent of its own choice
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o777))
	return dir
}

func TestCommitsAreDurableAndNothingIsLeft(t *testing.T) {
	t.Parallel()
	dir := folder(t, "/var/tmp")
	s, err := server.Start(t.Context(), func(line string) { t.Error(line) }, dir)
	require.NoError(t, err)
	conn, err := pgx.Connect(t.Context(), s.URL)
	require.NoError(t, err)
	for name, want := range map[string]string{
		"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on",
		"shared_preload_libraries": "pg_stat_statements",
	} {
		var got string
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT current_setting($1)", name).Scan(&got))
		require.Equal(t, want, got, name)
	}
	require.NoError(t, conn.Close(t.Context()))
	data, err := filepath.Glob(dir + "/*/data/PG_VERSION")
	require.NoError(t, err)
	require.Len(t, data, 1)
	s.Close()
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestFoldersInMemoryAreRefused(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/dev/shm"); err != nil {
		return // a system that has none
	}
	dir := folder(t, "/dev/shm")
	_, err := server.Start(t.Context(), func(line string) { t.Error(line) }, dir)
	require.ErrorContains(t, err, "in memory")
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}
