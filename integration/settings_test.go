package integration

import (
	"context"
	"errors"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// harmless are what a handler may leave behind in its transaction. Its reply is
// written all the same.
var harmless = map[string]func(f *fixture) string{
	"search_path": func(*fixture) string { return "SET LOCAL search_path = pg_temp" },
	"shadowed table": func(*fixture) string {
		return "CREATE TEMP TABLE idemtx_replies (scope text, key text, response text) ON COMMIT DROP;" +
			" SET LOCAL search_path = pg_temp, pg_catalog"
	},
	"synchronous_commit": func(*fixture) string { return "SET LOCAL synchronous_commit = off" },
	"lock_timeout":       func(*fixture) string { return "SET LOCAL lock_timeout = '1ms'" },
	"constraints":        func(*fixture) string { return "SET CONSTRAINTS ALL IMMEDIATE" },
	"deferred":           func(*fixture) string { return "SET CONSTRAINTS ALL DEFERRED" },
	"time zone":          func(*fixture) string { return "SET LOCAL TIME ZONE 'Asia/Kathmandu'; SET LOCAL datestyle = 'SQL, DMY'" },
	"literals": func(*fixture) string {
		return "SET LOCAL standard_conforming_strings = off; SET LOCAL bytea_output = escape"
	},
	"floats": func(*fixture) string {
		return "SET LOCAL extra_float_digits = -15; SET LOCAL intervalstyle = 'sql_standard'"
	},
	"role": func(f *fixture) string {
		return "SET LOCAL ROLE " + f.roleWith("SELECT, INSERT, DELETE")
	},
	"advisory locks": func(*fixture) string { return "SELECT pg_advisory_unlock_all()" },
	"plans":          func(*fixture) string { return "DISCARD PLANS; DISCARD SEQUENCES" },
	"reset":          func(*fixture) string { return "RESET ALL" },
}

// roleWith makes a role that may do so much to the table, and all to effects.
func (f *fixture) roleWith(privileges string) string {
	f.t.Helper()
	role := quoted(newRole(f.t.(*testing.T)))
	exec(f.t, "GRANT USAGE ON SCHEMA "+f.schema+" TO "+role+"; GRANT ALL ON "+f.schema+".effects TO "+role)
	if privileges != "" {
		exec(f.t, "GRANT "+privileges+" ON "+f.table()+" TO "+role)
	}
	return role
}

// A handler's settings have no say in whether and how its reply is stored, whatever
// becomes of it, nor in what the connection's next user finds.
func TestSettingsOfTheHandler(t *testing.T) {
	t.Parallel()
	const settings = "SELECT string_agg(name || '=' || setting, ';' ORDER BY name) FROM pg_catalog.pg_settings"
	for name, setting := range harmless {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, withMaxConns(1))
			sql := setting(f)
			for _, m := range modes[:2] {
				for verdict, want := range map[error]int{nil: 1, idemtx.ErrRefused: 0} {
					key := string(m.name) + strconv.Itoa(want)
					var before, after string
					require.NoError(t, f.pool.QueryRow(t.Context(), settings).Scan(&before))
					dead, err := m.do(t.Context(), f, f.request(key), func(context.Context, execer) (order, error) { return order{}, nil })
					require.NoError(t, err)
					f.expire(key) // so that there is a row to remove as well
					reply, err := inTx(t, m, f, key, func(ctx context.Context, tx pgx.Tx) (order, error) {
						o, err := f.effect(ctx, tx, key)
						require.NoError(t, err)
						_, err = tx.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol)
						require.NoError(t, err)
						return o, verdict
					})
					require.NoError(t, err)
					require.NotEqual(t, dead.Value, reply.Value)
					require.Equal(t, verdict != nil, reply.Refused)
					require.Equal(t, want, f.effects(key))
					require.Equal(t, 1, f.rows(key))
					require.NoError(t, f.pool.QueryRow(t.Context(), settings).Scan(&after))
					require.Equal(t, before, after)
					again, err := m.do(t.Context(), f, f.request(key), mustNotRun(t))
					require.NoError(t, err)
					require.Equal(t, reply.Value, again.Value)
				}
			}
			f.idle()
		})
	}
}

// fatal are what a handler may leave behind so that its reply cannot be written.
var fatal = map[string]func(f *fixture) string{
	"42501": func(f *fixture) string { return "SET LOCAL ROLE " + f.roleWith("") },
	"25006": func(*fixture) string { return "SET TRANSACTION READ ONLY" },
	"26000": func(*fixture) string { return "DEALLOCATE ALL" },
	"57014": func(f *fixture) string {
		exec(f.t, `CREATE FUNCTION `+f.schema+`.slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				PERFORM pg_sleep(600); RETURN NEW;
			END $$;
			CREATE TRIGGER slow BEFORE INSERT ON `+f.table()+` FOR EACH ROW EXECUTE FUNCTION `+f.schema+`.slow()`)
		return "SET LOCAL statement_timeout = '2s'"
	},
}

// Then its work is undone, the server's reason is told, and in DoTx the caller goes
// on as if nothing had been set.
func TestSettingsThatRefuseTheReply(t *testing.T) {
	t.Parallel()
	for code, setting := range fatal {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			for _, m := range modes[:2] {
				f := newFixture(t)
				_, err := m.do(t.Context(), f, f.request("earlier"), effect(f, "earlier")) // all is prepared
				require.NoError(t, err)
				sql := setting(f)
				runs := 0
				fn := func(ctx context.Context, tx pgx.Tx) (order, error) {
					runs++
					o, err := f.effect(ctx, tx, "k")
					require.NoError(t, err)
					_, err = tx.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol)
					require.NoError(t, err)
					return o, nil
				}
				if m.name == idemtx.ModeDo {
					_, err = idemtx.Do(t.Context(), f.store, f.request("k"), fn)
				} else {
					tx := transaction(f)
					_, err = idemtx.DoTx(t.Context(), f.store, tx, f.request("k"), fn)
					_, goesOn := tx.Exec(t.Context(), "INSERT INTO "+f.schema+".effects (key) VALUES ('after')", pgx.QueryExecModeSimpleProtocol)
					require.NoError(t, errors.Join(goesOn, tx.Commit(t.Context())))
					require.Equal(t, 1, f.effects("after"))
				}
				require.Equal(t, code, state(err), err)
				require.Equal(t, 1, runs)
				require.Zero(t, f.effects("k")+f.rows("k"))
				f.idle()
			}
		})
	}
}

// pg_advisory_unlock_all lets go of what a session holds, and the key is held by
// the transaction: whoever waits for it goes on waiting.
func TestHandlerUnlocksAll(t *testing.T) {
	t.Parallel()
	for _, m := range modes[:2] {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			b := f.peer(withMaxWait(patience))
			refuses := f.peer(withConfig(refusing))
			var second *ongoing
			first, err := inTx(t, m, f, "k", func(ctx context.Context, tx pgx.Tx) (order, error) {
				held := f.locks()
				_, err := tx.Exec(ctx, "SELECT pg_advisory_unlock_all()")
				require.NoError(t, err)
				require.Equal(t, held, f.locks())
				_, err = modes[0].do(t.Context(), refuses, refuses.request("k"), mustNotRun(t))
				require.ErrorIs(t, err, idemtx.ErrInFlight)
				second = launch(t.Context(), modes[0], b, b.request("k"), mustNotRun(t))
				f.blocked(1)
				return f.effect(ctx, tx, "k")
			})
			require.NoError(t, err)
			second.ends(t)
			require.NoError(t, second.err)
			require.True(t, second.reply.Replayed)
			requireOnce(f, "k", first)
		})
	}
}

// A program that does not share the lock is about to write the key's row. The reply
// waits for it no longer than the handler's lock_timeout, and then somebody else's
// request is in flight: the work is undone, and no statement's failure is told.
func TestSettingsThatEndTheReplysWait(t *testing.T) {
	t.Parallel()
	for _, m := range modes[:2] {
		f := newFixture(t)
		x := transaction(f.peer())
		_, err := inTx(t, m, f, "k", func(ctx context.Context, tx pgx.Tx) (order, error) {
			o, err := f.effect(ctx, tx, "k")
			require.NoError(t, err)
			_, err = tx.Exec(ctx, "SET LOCAL lock_timeout = '20ms'")
			require.NoError(t, err)
			stored, err := f.store.PutTx(t.Context(), x, f.scope, "k", idemtx.Entry{Response: []byte("1")})
			require.NoError(t, err)
			require.True(t, stored)
			return o, nil
		})
		require.ErrorIs(t, err, idemtx.ErrInFlight, m.name)
		require.Empty(t, state(err))
		require.NoError(t, x.Rollback(t.Context()))
		require.Zero(t, f.effects("k")+f.rows("k"))
		reply, err := m.do(t.Context(), f, f.request("k"), effect(f, "k"))
		require.NoError(t, err)
		requireOnce(f, "k", reply)
	}
}
