package idemtx

import (
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

// failing is a use of the loan that fails.
func failing(t *testing.T, l *loan, err error) {
	t.Helper()
	require.NoError(t, l.begin())
	l.done(err)
}

func TestALoanRemembersOneFailureOfEachKind(t *testing.T) {
	t.Parallel()
	l := new(loan)
	unique, busy := &pgconn.PgError{Code: "23505"}, &pgconn.PgError{Code: "55P03"}
	for _, err := range []error{
		nil, unique, &pgconn.PgError{Code: "23505", Message: "another"}, &pgconn.PgError{Code: "25P02"},
		pgx.ErrNoRows, pgx.ErrTxClosed, io.ErrUnexpectedEOF, context.Canceled, // on this side alone
		fmt.Errorf("lock: %w", busy),
	} {
		failing(t, l, err)
	}
	l.end(t.Context())
	require.ElementsMatch(t, []error{unique, fmt.Errorf("lock: %w", busy)}, l.failures())
	require.False(t, l.gaveUp())
	require.Empty(t, new(loan).failures())
}

// TestALoanIsUsedOnceAtATime, and a callback that uses it within a use does not
// wait for itself.
func TestALoanIsUsedOnceAtATime(t *testing.T) {
	t.Parallel()
	l := new(loan)
	require.NoError(t, l.begin())
	require.ErrorIs(t, l.begin(), ErrTxMisuse)
	l.done(nil)
	require.NoError(t, l.begin())
	l.done(nil)
}

func TestTheEndOfALoanWaitsForItsUse(t *testing.T) {
	t.Parallel()
	for range 100 {
		l := new(loan)
		require.NoError(t, l.begin())
		used := 0 // by one goroutine at a time, as the race detector sees
		ended := make(chan int)
		go func() {
			l.end(t.Context())
			ended <- used
		}()
		used++
		l.done(nil)
		require.Equal(t, 1, <-ended)
		require.Equal(t, errKept, l.begin())
	}
}
