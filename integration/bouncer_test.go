//go:build unix

package integration

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// execModes are those that work with it.
func (b *bouncer) execModes() []pgx.QueryExecMode {
	modes := []pgx.QueryExecMode{
		pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	}
	if b.prepares {
		modes = append(modes, pgx.QueryExecModeCacheStatement)
	}
	return modes
}

// to makes a pool connect to one of b's databases.
func (b *bouncer) to(database string, exec pgx.QueryExecMode) option {
	return func(p *pgxpool.Config, c *idemtx.Config) {
		b.redirect(p.ConnConfig, database)
		withExecMode(exec)(p, c)
	}
}

// database is one that is the test's alone.
func (b *bouncer) database(t *testing.T) (name string) {
	t.Helper()
	name = strings.ToLower(rand.Text())
	b.onBoth(t, name, func(*pgx.Conn) {}) // now it has them
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		console := b.connect(t, "pgbouncer")
		defer console.Close(ctx)
		_, err := console.Exec(ctx, "KILL "+name)
		require.NoError(t, err)
	})
	return name
}

// onBoth calls fn in a transaction on each of the two backends of a database.
func (b *bouncer) onBoth(t *testing.T, database string, fn func(*pgx.Conn)) {
	t.Helper()
	ctx := t.Context()
	conns := []*pgx.Conn{b.connect(t, database), b.connect(t, database)}
	for _, command := range []string{"BEGIN", "ROLLBACK"} {
		for _, conn := range conns {
			_, err := conn.Exec(ctx, command)
			require.NoError(t, err)
		}
		if command == "BEGIN" {
			fn(conns[0])
			fn(conns[1])
		}
	}
	require.NoError(t, conns[0].Close(ctx))
	require.NoError(t, conns[1].Close(ctx))
}

// Every promise, with the transactions of one client on one backend after the
// other, and those of all clients on the same two.
func TestBouncerKeepsTheContract(t *testing.T) {
	t.Parallel()
	b := newBouncer(t)
	for _, m := range modes {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			for _, exec := range b.execModes() {
				t.Run(exec.String(), func(t *testing.T) {
					t.Parallel()
					for name, promise := range contract {
						t.Run(name, func(t *testing.T) {
							t.Parallel()
							promise(t, m, b.to(b.database(t), exec))
						})
					}
				})
			}
		})
	}
}

// Without this, the contract would be kept behind PgBouncer and prove nothing.
func TestBouncerChangesTheBackend(t *testing.T) {
	t.Parallel()
	b := newBouncer(t)
	for _, exec := range b.execModes() {
		via := b.to(b.database(t), exec)
		f := newFixture(t, via, withMaxConns(1), unpinged)
		peer := f.peer(via, withMaxConns(1), unpinged)
		// Who is served, and under whose settings.
		backend := func(f *fixture) (pid int) {
			var settings [2]string
			require.NoError(t, f.pool.QueryRow(t.Context(), `SELECT pg_backend_pid(),
				current_setting('application_name'), current_setting('search_path')`).Scan(&pid, &settings[0], &settings[1]))
			require.Equal(t, [2]string{f.schema, ""}, settings)
			return pid
		}
		first, second := backend(f), backend(f)
		require.NotEqual(t, first, second, "of one client")
		require.ElementsMatch(t, []int{first, second}, []int{backend(peer), backend(peer)}, "and of another")
		require.EqualValues(t, 1, f.pool.Stat().NewConnsCount())
	}
}

// Three processes with all their callers share two backends: one runs the handler,
// and one of another process waits on the other.
func TestBouncerInAStorm(t *testing.T) {
	t.Parallel()
	b := newBouncer(t)
	for _, m := range modes {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			via := b.to(b.database(t), b.execModes()[0])
			f := newFixture(t, via)
			require.EqualValues(t, 1, race(t, m, 200, f, f.peer(via), f.peer(via)))
			require.Equal(t, 1, f.effects("k"))
			require.Equal(t, 1, f.rows("k"))
			f.idle()
		})
	}
}

// What one client leaves on a backend, the next one finds: PgBouncer resets
// nothing between transactions. The modes leave nothing, also when they have
// waited, in vain or not.
func TestBouncerFindsNothingLeftBehind(t *testing.T) {
	t.Parallel()
	b := newBouncer(t)
	for _, exec := range b.execModes() {
		t.Run(exec.String(), func(t *testing.T) {
			t.Parallel()
			database := b.database(t)
			via := b.to(database, exec)
			f := newFixture(t, via)
			serve(t, f)
			for _, m := range modes[:2] { // which wait in PostgreSQL
				waitsNoLongerThanMaxWait(t, m, via)
				waiterOwnsWhatFailed(t, m, via)
			}
			b.onBoth(t, database, func(conn *pgx.Conn) {
				var set, own []string
				var open int
				require.NoError(t, conn.QueryRow(t.Context(), `SELECT
					(SELECT coalesce(array_agg(name), '{}') FROM pg_settings
						WHERE source = 'session' AND name NOT IN ('application_name', 'search_path')
						AND setting IS DISTINCT FROM reset_val),
					(SELECT coalesce(array_agg(name), '{}') FROM pg_prepared_statements WHERE name NOT LIKE 'PGBOUNCER%'),
					(SELECT count(*) FROM pg_cursors) + (SELECT count(*) FROM pg_listening_channels())
					+ (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory')`,
				).Scan(&set, &own, &open))
				require.Empty(t, set)
				require.Empty(t, own)
				require.Zero(t, open)
			})
		})
	}
}
