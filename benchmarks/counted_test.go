package main

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/benchmarks/byhand"
	"github.com/idemtx/idemtx/benchmarks/cases"
	"github.com/idemtx/idemtx/benchmarks/contender"
	"github.com/idemtx/idemtx/benchmarks/floors"
	"github.com/idemtx/idemtx/benchmarks/ours"
	"github.com/idemtx/idemtx/benchmarks/server"
)

// It counts on a server of its own and alone in this process: what others do there, or
// allocate here, would count, too.
func TestWhatARequestTakesIsCountedWithoutWhatOpeningTakes(t *testing.T) { //nolint:paralleltest // counts allocations
	dir, err := os.MkdirTemp("/var/tmp", "benchmarks-test") //nolint:usetesting // TempDir's folder is closed to the server's user
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o777))
	s, err := server.Start(t.Context(), func(line string) { t.Error(line) }, dir)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	admin, err := administrator(t.Context(), s.URL)
	require.NoError(t, err)
	defer admin.Close()
	// Neither is to do something of its own in the middle of a few requests.
	for _, sql := range []string{
		"ALTER SYSTEM SET autovacuum = off", "ALTER SYSTEM SET wal_writer_delay = '10s'", "SELECT pg_reload_conf()",
	} {
		_, err := admin.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	b := &cases.Bench{URL: s.URL, Admin: admin, Contenders: slices.Concat(floors.All(), ours.All(), byhand.All()), Conns: 4, Quick: true, Shrink: 1000, Log: t.Logf}
	defer b.Close()

	counts := make(map[string]cases.Count)
	for _, c := range (options{run: regexp.MustCompile("^" + cases.CountedCase + "$"), quick: true}).chosen() {
		result, err := c.Run(t.Context(), b)
		require.NoError(t, err)
		require.Empty(t, result.Missing)
		for _, count := range result.Counts {
			counts[count.Name+" "+string(count.Operation)] = count
		}
	}
	for name, want := range map[string]cases.Server{
		floors.PlainTransaction + " " + string(contender.First): {Statements: 3, Commits: 1, Syncs: 1},
		floors.BareSelect + " " + string(contender.Replay):      {Statements: 1, Commits: 1},
		ours.Do + " " + string(contender.First):                 {Statements: 4, Commits: 1, Syncs: 1, RowVersions: 1},
		"claim first " + string(contender.First):                {Statements: 5, Commits: 2, Syncs: 2, RowVersions: 2},
	} {
		got := counts[name].Server
		require.InDelta(t, want.Statements, got.Statements, 0.3, name)
		require.InDelta(t, want.Commits, got.Commits, 0.3, name)
		require.InDelta(t, want.Syncs, got.Syncs, 0.3, name)
		require.InDelta(t, want.RowVersions, got.RowVersions, 0.3, name)
		require.Positive(t, counts[name].Allocs)
	}
}
