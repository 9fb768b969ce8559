package integration

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// The caller has the last word: what it rolls back was never answered.
//
//	A:  DoTx, replied
//	B:  lock ✗, waits
//	A:  rolls back
//	B:                  owns the key, runs
func TestCallerRollsBackLater(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := f.peer()
	tx := transaction(f)
	_, err := idemtx.DoTx(t.Context(), f.store, tx, f.request("k"), f.handler("k"))
	require.NoError(t, err)
	second := launch(t.Context(), modes[0], b, b.request("k"), effect(b, "k"))
	f.blocked(1)
	require.NoError(t, tx.Rollback(t.Context()))
	second.ends(t)
	require.NoError(t, second.err)
	require.False(t, second.reply.Replayed)
	requireOnce(b, "k", second.reply)
}

// Two keys in one transaction, one of them twice, beside each other and inside
// each other.
func TestCallsInOneTransaction(t *testing.T) {
	t.Parallel()
	for _, commit := range []bool{true, false} {
		f := newFixture(t)
		tx := transaction(f)
		outer, err := idemtx.DoTx(t.Context(), f.store, tx, f.request("outer"), func(ctx context.Context, tx pgx.Tx) (order, error) {
			inner, err := idemtx.DoTx(ctx, f.store, tx, f.request("inner"), f.handler("inner"))
			if err != nil {
				return order{}, err
			}
			again, err := idemtx.DoTx(ctx, f.store, tx, f.request("inner"), f.handler("inner"))
			if err != nil {
				return order{}, err
			}
			require.True(t, again.Replayed)
			require.Equal(t, inner.Value, again.Value)
			require.ErrorIs(t, call(t, f, tx, f.other("inner"), nil), idemtx.ErrMismatch)
			declined := errors.New("declined")
			require.ErrorIs(t, call(t, f, tx, f.request("failed"), func(context.Context, pgx.Tx) error { return declined }), declined)
			return f.effect(ctx, tx, "outer")
		})
		require.NoError(t, err)
		again, err := idemtx.DoTx(t.Context(), f.store, tx, f.request("outer"), f.handler("outer"))
		require.NoError(t, err)
		require.True(t, again.Replayed)
		require.Equal(t, outer.Value, again.Value)

		want := 0
		if commit {
			want = 1
			require.NoError(t, tx.Commit(t.Context()))
		} else {
			require.NoError(t, tx.Rollback(t.Context()))
		}
		for _, key := range []string{"outer", "inner"} {
			require.Equal(t, want, f.effects(key), key)
			require.Equal(t, want, f.rows(key), key)
		}
		require.Zero(t, f.effects("failed"))
		require.Zero(t, f.rows("failed"))
		f.idle()
	}
}

// A:  locks first                 B:  locks second
// A:  waits for second            B:  waits for first
// PostgreSQL ends one with 40P01, and the other goes on
// the one that was ended begins again, and replays.
func TestTwoKeysInOppositeOrder(t *testing.T) {
	t.Parallel()
	for _, attempts := range []int{1, 3} {
		f := newFixture(t, withMaxAttempts(attempts), withSetting("deadlock_timeout", "50ms"), withMaxWait(patience))
		b := f.peer(withMaxAttempts(attempts), withSetting("deadlock_timeout", "50ms"), withMaxWait(patience))
		var meet sync.WaitGroup
		meet.Add(2)
		var runs atomic.Int64
		both := func(f *fixture, first, second string) *ongoing {
			var once sync.Once
			return launch(t.Context(), modes[0], f, f.request(first), func(ctx context.Context, db execer) (order, error) {
				runs.Add(1)
				once.Do(func() { meet.Done(); meet.Wait() })
				if _, err := idemtx.DoTx(ctx, f.store, db.(pgx.Tx), f.request(second), f.handler(second)); err != nil {
					return order{}, err
				}
				return f.effect(ctx, db, first)
			})
		}
		calls := []*ongoing{both(f, "first", "second"), both(b, "second", "first")}
		for _, c := range calls {
			c.ends(t)
			require.NoError(t, c.err)
		}
		require.NotEqual(t, calls[0].reply.Replayed, calls[1].reply.Replayed)
		require.EqualValues(t, 2, runs.Load())
		for _, key := range []string{"first", "second"} {
			require.Equal(t, 1, f.effects(key), key)
			require.Equal(t, 1, f.rows(key), key)
		}
		f.idle()
		b.idle()
	}
}
