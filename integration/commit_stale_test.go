package integration

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// A COMMIT that never arrives, of a request whose expired predecessor had the
// same reply. The row that is still there is not the reply that was lost: to take
// it for that would report work that was never done.
func TestExpiredRowIsNotTheReplyThatWasLost(t *testing.T) {
	t.Parallel()
	wire := newProxy(t)
	f := newFixture(t, through(wire))
	same := func(ctx context.Context, tx pgx.Tx) (order, error) {
		_, err := f.effect(ctx, tx, "k")
		return order{Note: "done"}, err
	}
	_, err := idemtx.Do(t.Context(), f.store, f.request("k"), same)
	require.NoError(t, err)
	f.expire("k")
	judge, met := once((*trip).commits, drop)
	wire.meet(judge)
	reply, err := idemtx.Do(t.Context(), f.store, f.request("k"), same)
	require.NoError(t, err)
	require.True(t, met.Load())
	require.Equal(t, 2, f.effects("k"))
	require.True(t, reply.ExpiresAt.After(time.Now()))
	f.idle()
}

// DoPool that gets no connection has claimed nothing, and has nothing to wait
// for when its context ends.
func TestContextEndsBeforeThereIsAConnection(t *testing.T) {
	t.Parallel()
	logged := new(journal)
	f := newFixture(t, withMaxConns(2), withJournal(logged))
	for range 2 {
		conn, err := f.pool.Acquire(t.Context())
		require.NoError(t, err)
		defer conn.Release()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := idemtx.DoPool(ctx, f.store, f.request("k"), func(context.Context) (order, error) {
		t.Error("the handler ran")
		return order{}, nil
	})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Empty(t, logged.String(), "a claim that was never sent is not one that was not released")
}

// What a handler fails with is its failure, also when it is what another call of
// idemtx in it has failed with.
func TestHandlerThatFailsWithAnErrorOfOursHasFailed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, err := idemtx.DoPool(t.Context(), f.store, f.request("k"), func(ctx context.Context) (order, error) {
		_, err := f.store.Put(ctx, f.scope, "inner", idemtx.Entry{Response: []byte("not JSON")})
		return order{}, err
	})
	require.ErrorIs(t, err, idemtx.ErrReplyNotStorable)
	require.Zero(t, f.rows("k"))
}

// The first statements of DoTx cannot be prepared on a connection that has not
// run them, because the table is locked. The caller's transaction survives, also
// when another connection has run them.
func TestTransactionSurvivesWhatCannotBePrepared(t *testing.T) {
	t.Parallel()
	for _, exec := range execModes {
		t.Run(exec.String(), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, withExecMode(exec))
			first, second := transaction(f), transaction(f)
			_, err := idemtx.DoTx(t.Context(), f.store, first, f.request("a"), f.handler("a"))
			require.NoError(t, err)
			require.NoError(t, first.Commit(t.Context()))

			ddl, err := pgx.Connect(t.Context(), serverURL())
			require.NoError(t, err)
			defer ddl.Close(context.WithoutCancel(t.Context()))
			_, err = ddl.Exec(t.Context(), "BEGIN; LOCK TABLE "+f.table()+" IN ACCESS EXCLUSIVE MODE")
			require.NoError(t, err)
			_, err = second.Exec(t.Context(), "SET LOCAL lock_timeout = '50ms'")
			require.NoError(t, err)
			_, err = idemtx.DoTx(t.Context(), f.store, second, f.request("b"), f.handler("b"))
			require.ErrorContains(t, err, "55P03")
			_, err = f.effect(t.Context(), second, "survives")
			require.NoError(t, err)
			require.NoError(t, second.Commit(t.Context()))
			require.Equal(t, 1, f.effects("survives"))
		})
	}
}
