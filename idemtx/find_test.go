package idemtx

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// closedDialogue is a dialogue in a transaction that is over: each of its
// questions ends in pgx.ErrTxClosed.
func closedDialogue(s *Store) dialogue { return &joint{store: s, tx: closedTx()} }

func TestMilliseconds(t *testing.T) {
	t.Parallel()
	for d, text := range map[time.Duration]string{
		0: "0ms", time.Millisecond: "1ms", 2*time.Millisecond - 1: "1ms", 1500 * time.Millisecond: "1500ms", time.Hour: "3600000ms",
	} {
		require.Equal(t, text, milliseconds(d))
	}
}

func TestSleepEndsInTimeOrWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		require.NoError(t, sleep(t.Context(), time.Minute))
		require.Equal(t, time.Minute, time.Since(began))

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, sleep(ctx, time.Minute), context.DeadlineExceeded)
		require.Equal(t, time.Minute+time.Second, time.Since(began))
	})
}

func TestAClaimIsLookedAtAgainAfterAWhile(t *testing.T) {
	t.Parallel()
	store := unconnected(t, Config{})
	synctest.Test(t, func(t *testing.T) {
		began, c := time.Now(), waiting(time.Second)
		_, err := store.outwait(t.Context(), c, closedDialogue(store), &InFlightError{}, 200*time.Millisecond)
		require.ErrorIs(t, err, pgx.ErrTxClosed) // it has asked
		require.Equal(t, 200*time.Millisecond, time.Since(began))
		require.Equal(t, 200*time.Millisecond, c.waited)

		_, err = store.outwait(t.Context(), c, closedDialogue(store), &InFlightError{}, time.Hour)
		require.ErrorIs(t, err, pgx.ErrTxClosed, "the last look is at the deadline")
		require.Equal(t, time.Second, time.Since(began))
		require.Equal(t, time.Second, c.waited)
	})
}

func TestAClaimIsNotOutwaitedForEver(t *testing.T) {
	t.Parallel()
	store, claim := unconnected(t, Config{}), &InFlightError{RetryAfter: 7 * time.Second}
	for name, c := range map[string]*call{
		"refuse":       refusing(Fingerprint{}),
		"deadline":     waiting(-time.Second),
		"the very end": waiting(0),
	} {
		_, err := store.outwait(t.Context(), c, nil, claim, firstPoll)
		require.Same(t, claim, err, name)
		require.Zero(t, c.waited, name)
	}
}

func TestTheEndOfTheContextEndsTheWaitForAClaim(t *testing.T) {
	t.Parallel()
	store := unconnected(t, Config{})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		c := waiting(time.Hour)
		_, err := store.outwait(ctx, c, closedDialogue(store), &InFlightError{}, time.Minute)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotErrorIs(t, err, ErrInFlight)
		require.Equal(t, time.Second, c.waited)
	})
}

// A lock_timeout of 0 would be none at all.
func TestTheWaitForALockIsNeverUnbounded(t *testing.T) {
	t.Parallel()
	store := unconnected(t, Config{})
	synctest.Test(t, func(t *testing.T) {
		for _, left := range []time.Duration{-time.Hour, 0, time.Millisecond - 1} {
			_, err := store.await(t.Context(), waiting(left), nil, finding{})
			require.Equal(t, &InFlightError{RetryAfter: time.Second}, err, left)
		}
		_, err := store.await(t.Context(), waiting(time.Millisecond), closedDialogue(store), finding{})
		require.ErrorIs(t, err, pgx.ErrTxClosed)
	})
}

func TestAQuestionThatFailsHasItsNameInTheError(t *testing.T) {
	t.Parallel()
	store := unconnected(t, Config{})
	c, d := waiting(time.Hour), closedDialogue(store)
	for text, ask := range map[string]func() error{
		"idemtx: take a savepoint: tx is closed": func() error {
			_, _, err := store.find(t.Context(), c, d)
			return err
		},
		"idemtx: wait for the key: tx is closed": func() error {
			_, err := store.await(t.Context(), c, d, finding{})
			return err
		},
		"idemtx: probe the key: tx is closed": func() error {
			_, err := store.probe(t.Context(), c, d, finding{})
			return err
		},
		"idemtx: look up the key: tx is closed": func() error {
			_, err := store.lastRow(d.SendBatch(t.Context(), new(pgx.Batch)))
			return err
		},
		"idemtx: lock the key: tx is closed": func() error {
			_, err := store.readFinding(d.SendBatch(t.Context(), new(pgx.Batch)), 0)
			return err
		},
	} {
		err := ask()
		require.EqualError(t, err, text)
		require.ErrorIs(t, err, pgx.ErrTxClosed)
	}
}
