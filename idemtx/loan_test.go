package idemtx

import (
	"context"
	"errors"
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
	l.done(&err)
}

func TestALoanRemembersOneFailureOfEachKind(t *testing.T) {
	t.Parallel()
	l := new(loan)
	unique := &pgconn.PgError{Code: "23505"}
	timeout := fmt.Errorf("wait: %w", context.DeadlineExceeded)
	for _, err := range []error{
		nil, pgx.ErrNoRows, pgx.ErrTooManyRows, pgx.ErrTxClosed, unique, &pgconn.PgError{Code: "23505", Message: "another"},
		io.ErrUnexpectedEOF, errors.New("another"), timeout, context.Canceled, &pgconn.PgError{Code: "25P02"},
	} {
		failing(t, l, err)
	}
	l.end()
	require.ElementsMatch(t, []error{unique, io.ErrUnexpectedEOF, timeout}, l.failures(nil))
	require.True(t, l.gaveUp())
	require.False(t, new(loan).gaveUp())
	require.Empty(t, new(loan).failures(nil))
}

// TestALoanIsUsedOnceAtATime, and a callback that uses it within a use does not
// wait for itself.
func TestALoanIsUsedOnceAtATime(t *testing.T) {
	t.Parallel()
	l := new(loan)
	require.NoError(t, l.begin())
	require.ErrorIs(t, l.begin(), ErrTxMisuse)
	var none error
	l.done(&none)
	require.NoError(t, l.begin())
	l.done(&none)
}

func TestTheEndOfALoanWaitsForItsUse(t *testing.T) {
	t.Parallel()
	for range 100 {
		l := new(loan)
		require.NoError(t, l.begin())
		used := 0 // by one goroutine at a time, as the race detector sees
		ended := make(chan int)
		go func() {
			l.end()
			ended <- used
		}()
		used++
		var none error
		l.done(&none)
		require.Equal(t, 1, <-ended)
		require.Equal(t, errKept, l.begin())
	}
}
