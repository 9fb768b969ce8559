package integration

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// patience and tick are how long, and how often, a test looks for what is bound
// to come.
const (
	patience = time.Minute
	tick     = 5 * time.Millisecond
)

// withSetting gives the role of a pool a setting of its own.
func withSetting(name, value string) option {
	return func(p *pgxpool.Config, _ *idemtx.Config) {
		if value != "" {
			p.ConnConfig.RuntimeParams[name] = value
		}
	}
}

func withMaxWait(d time.Duration) option {
	return withConfig(func(c *idemtx.Config) { c.MaxWait = d })
}

// lockTimeouts are what a role may have, with what PostgreSQL calls it.
var lockTimeouts = map[string]string{"": "0", "7s": "7s", "120001ms": "120001ms"}

// The bound on the wait is not the handler's: what it finds after having waited
// is what it would have found without.
func TestLockTimeoutOfTheHandler(t *testing.T) {
	t.Parallel()
	pairs(t, func(t *testing.T, holder, waiter mode) {
		t.Helper()
		for setting, want := range lockTimeouts {
			f := newFixture(t)
			b := f.peer(withSetting("lock_timeout", setting), withMaxWait(patience))
			end := inFlight(t, holder, f, "k")
			var found string
			second := launch(t.Context(), waiter, b, b.request("k"), func(ctx context.Context, db execer) (order, error) {
				err := db.QueryRow(ctx, "SHOW lock_timeout").Scan(&found)
				return order{}, err
			})
			f.blocked(1)
			end(errors.New("failed"))
			second.ends(t)
			require.NoError(t, second.err)
			require.False(t, second.reply.Replayed)
			require.Equal(t, want, found)
			f.idle()
			b.idle()
		}
	})
}

// Nor is it the caller's whose transaction goes on, whatever came of the call.
func TestLockTimeoutOfTheCaller(t *testing.T) {
	t.Parallel()
	outcomes := map[string]func(t *testing.T, f *fixture, tx pgx.Tx, key string){
		"waited and ran": func(t *testing.T, f *fixture, tx pgx.Tx, key string) {
			t.Helper()
			end := inFlight(t, modes[0], f.peer(), key)
			done := make(chan error, 1)
			go func() {
				_, err := idemtx.DoTx(t.Context(), f.store, tx, f.request(key), f.handler(key))
				done <- err
			}()
			f.blocked(1)
			end(errors.New("failed"))
			require.NoError(t, <-done)
		},
		"waited in vain": func(t *testing.T, f *fixture, tx pgx.Tx, key string) { // 55P03
			t.Helper()
			end := inFlight(t, modes[0], f.peer(), key)
			_, err := idemtx.DoTx(t.Context(), f.store, tx, f.request(key), f.handler(key))
			require.ErrorIs(t, err, idemtx.ErrInFlight)
			end(nil)
		},
		"refused": func(t *testing.T, f *fixture, tx pgx.Tx, key string) {
			t.Helper()
			reply, err := idemtx.DoTx(t.Context(), f.store, tx, f.request(key), func(context.Context, pgx.Tx) (order, error) {
				return order{}, idemtx.ErrRefused
			})
			require.NoError(t, err)
			require.True(t, reply.Refused)
		},
	}
	for name, outcome := range outcomes {
		for setting, want := range lockTimeouts {
			t.Run(name+" "+want, func(t *testing.T) {
				t.Parallel()
				wait := patience
				if name == "waited in vain" {
					wait = 20 * time.Millisecond
				}
				f := newFixture(t, withSetting("lock_timeout", setting), withMaxWait(wait))
				for _, local := range []string{"", "1234ms"} {
					tx := transaction(f)
					if local != "" { // the caller has set its own
						_, err := tx.Exec(t.Context(), "SET LOCAL lock_timeout = '"+local+"'")
						require.NoError(t, err)
						want = local
					}
					outcome(t, f, tx, "k"+local)
					var found string
					require.NoError(t, tx.QueryRow(t.Context(), "SHOW lock_timeout").Scan(&found))
					require.Equal(t, want, found)
					require.NoError(t, tx.Rollback(t.Context()))
				}
				f.idle()
			})
		}
	}
}

// A role whose statements may not take long waits no longer than they may. They may
// take as long as one that does not wait takes on a busy machine.
func TestStatementTimeoutInTheWait(t *testing.T) {
	t.Parallel()
	pairs(t, func(t *testing.T, holder, waiter mode) {
		t.Helper()
		f := newFixture(t)
		b := f.peer(withSetting("statement_timeout", "3s"), withMaxWait(2*patience))
		end := inFlight(t, holder, f, "k")
		ctx, cancel := context.WithTimeout(t.Context(), patience/2)
		defer cancel()
		_, err := waiter.do(ctx, b, b.request("k"), mustNotRun(t))
		require.ErrorIs(t, err, idemtx.ErrInFlight)
		end(nil)
		f.idle()
		require.Equal(t, 1, f.effects("k"))
	})
}

// The wait of a call that was refused a lock ends with MaxWait, in PostgreSQL as
// in memory.
func TestMaxWaitEndsTheWaitInPostgreSQL(t *testing.T) {
	t.Parallel()
	pairs(t, func(t *testing.T, holder, waiter mode) {
		t.Helper()
		f := newFixture(t)
		b := f.peer(withMaxWait(50 * time.Millisecond))
		end := inFlight(t, holder, f, "k")
		held := f.locks()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		_, err := waiter.do(ctx, b, b.request("k"), mustNotRun(t))
		var inFlight *idemtx.InFlightError
		require.ErrorAs(t, err, &inFlight)
		require.Positive(t, inFlight.RetryAfter)
		require.Eventually(t, func() bool { return b.pool.Stat().AcquiredConns() == 0 }, patience, tick)
		require.Equal(t, held, f.locks())
		end(nil)
		f.idle()
		reply, err := waiter.do(t.Context(), b, b.request("k"), mustNotRun(t))
		require.NoError(t, err)
		require.True(t, reply.Replayed)
	})
}
