package integration

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// A call within a handler is a part of the handler's work: it stays with it or goes
// with it, whatever came of itself.
func TestCallWithinAHandler(t *testing.T) {
	t.Parallel()
	failed := errors.New("failed")
	inTxAtEveryLevel(t, func(t *testing.T, m mode, f *fixture) {
		t.Helper()
		calls := func(ctx context.Context, tx pgx.Tx) {
			t.Helper()
			reply, err := idemtx.DoTx(ctx, f.store, tx, f.request("kept"), func(ctx context.Context, tx pgx.Tx) (order, error) {
				_, err := idemtx.DoTx(ctx, f.store, tx, f.request("deeper"), f.handler("deeper"))
				require.NoError(t, err)
				return f.effect(ctx, tx, "kept")
			})
			require.NoError(t, err)
			require.False(t, reply.Replayed)
			require.ErrorIs(t, call(t, f, tx, f.request("failed"), func(ctx context.Context, tx pgx.Tx) error {
				_, err := idemtx.DoTx(ctx, f.store, tx, f.request("gone"), f.handler("gone"))
				require.NoError(t, err)
				return failed
			}), failed)
			refused, err := idemtx.DoTx(ctx, f.store, tx, f.request("refused"), func(ctx context.Context, tx pgx.Tx) (order, error) {
				o, err := f.effect(ctx, tx, "refused")
				return o, errors.Join(err, idemtx.ErrRefused)
			})
			require.NoError(t, err)
			require.True(t, refused.Refused)
			require.ErrorIs(t, call(t, f, tx, f.other("refused"), nil), idemtx.ErrMismatch)
			require.Panics(t, func() {
				_ = call(t, f, tx, f.request("panicked"), func(context.Context, pgx.Tx) error { panic("boom") })
			})
		}
		for _, verdict := range []error{failed, idemtx.ErrRefused, nil} {
			outer, err := inTx(t, m, f, "outer", func(ctx context.Context, tx pgx.Tx) (order, error) {
				calls(ctx, tx)
				o, err := f.effect(ctx, tx, "outer")
				return o, errors.Join(err, verdict)
			})
			var left []string
			switch {
			case errors.Is(verdict, idemtx.ErrRefused):
				require.NoError(t, err)
				require.True(t, outer.Refused)
				require.Equal(t, []string{"outer"}, f.keys())
				f.expire("outer")
			case verdict != nil:
				require.ErrorIs(t, err, verdict)
				require.Empty(t, f.keys())
			default:
				require.NoError(t, err)
				requireOnce(f, "outer", outer)
				require.ElementsMatch(t, []string{"outer", "kept", "deeper", "refused"}, f.keys())
				left = []string{"deeper", "kept", "outer"}
			}
			require.Equal(t, left, ask[[]string](t, "SELECT array_agg(key ORDER BY key) FROM "+f.schema+".effects"))
		}
		f.idle()
	})
}

// A call for the key whose handler it is called in cannot be answered. It fails,
// nothing of it stays, and the key is free afterwards.
func TestCallWithinAHandlerForItsOwnKey(t *testing.T) {
	t.Parallel()
	within := map[string]func(ctx context.Context, f *fixture, tx pgx.Tx) error{
		"Do": func(ctx context.Context, f *fixture, _ pgx.Tx) error {
			_, err := idemtx.Do(ctx, f.store, f.request("k"), f.handler("k"))
			return err
		},
		"DoTx": func(ctx context.Context, f *fixture, tx pgx.Tx) error {
			_, err := idemtx.DoTx(ctx, f.store, tx, f.request("k"), f.handler("k"))
			return err
		},
		"DoPool": func(ctx context.Context, f *fixture, _ pgx.Tx) error {
			_, err := idemtx.DoPool(ctx, f.store, f.request("k"), func(context.Context) (order, error) {
				return order{}, errors.New("it ran")
			})
			return err
		},
		"PutTx": func(ctx context.Context, f *fixture, tx pgx.Tx) error {
			_, err := f.store.PutTx(ctx, tx, f.scope, "k", idemtx.Entry{Response: []byte("1")})
			return err
		},
	}
	for name, nested := range within {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, m := range modes[:2] {
				f := newFixture(t, withMaxWait(50*time.Millisecond))
				_, err := inTx(t, m, f, "k", func(ctx context.Context, tx pgx.Tx) (order, error) {
					o, err := f.effect(ctx, tx, "k")
					return o, errors.Join(err, nested(ctx, f, tx))
				})
				require.Error(t, err)
				require.NotErrorIs(t, err, idemtx.ErrOutcomeUnknown)
				if name == "Do" || name == "DoPool" { // on another connection
					require.ErrorIs(t, err, idemtx.ErrInFlight)
				}
				require.Zero(t, f.effects("k")+f.rows("k"), m.name)
				f.idle()
				reply, err := m.do(t.Context(), f, f.request("k"), effect(f, "k"))
				require.NoError(t, err)
				requireOnce(f, "k", reply)
			}
		})
	}
}

// A:  runs for longer than MaxWait, and is undone
// B:  has waited for the key, and runs
// A:  waits for B, for as long as if it had come a moment ago.
func TestMaxWaitBeginsAnewWithEachAttempt(t *testing.T) {
	t.Parallel()
	const wait = 4 * time.Second
	f := newFixture(t, withMaxWait(wait))
	b := f.peer(withMaxWait(patience))
	running, end := make(chan struct{}), make(chan struct{})
	var second *ongoing
	undone := false
	first := launch(t.Context(), modes[0], f, f.request("k"), func(ctx context.Context, db execer) (order, error) {
		if undone {
			return f.effect(ctx, db, "k")
		}
		began := time.Now()
		second = launch(t.Context(), modes[0], b, b.request("k"), func(ctx context.Context, db execer) (order, error) {
			close(running)
			waitFor(ctx, end)
			return b.effect(ctx, db, "k")
		})
		f.blocked(1)
		require.Eventually(t, func() bool { return time.Since(began) > wait }, patience, tick)
		undone = true
		_, err := db.(pgx.Tx).Exec(ctx, "DO $$ BEGIN RAISE SQLSTATE '40001'; END $$")
		return order{}, err
	})
	<-running
	f.blocked(1)
	close(end)
	second.ends(t)
	first.ends(t)
	require.NoError(t, second.err)
	require.NoError(t, first.err)
	require.True(t, first.reply.Replayed)
	requireOnce(f, "k", second.reply)
}
