package idemhttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	require.NoError(t, err)
	return n
}

func TestWhatAnErrorIsToTheClient(t *testing.T) {
	t.Parallel()
	wrap := func(err error) error { return fmt.Errorf("idemtx: something: %w", err) }
	for _, test := range []struct {
		err   error
		want  *Problem
		retry time.Duration
	}{
		{keyMissing, keyMissing, 0},
		{bodyTooLarge, bodyTooLarge, 0},
		{wrap(idemtx.ErrMismatch), mismatch, 0},
		{wrap(idemtx.ErrExpired), expired, 0},
		{wrap(idemtx.ErrInvalidRequest), bodyInvalid, 0},
		{idemtx.ErrInFlight, inFlight, time.Second},
		{wrap(&idemtx.InFlightError{}), inFlight, time.Second},
		{wrap(&idemtx.InFlightError{RetryAfter: 29 * time.Second}), inFlight, 29 * time.Second},
		{wrap(idemtx.ErrReplyNotStorable), internal, 0},
		{wrap(idemtx.ErrTxMisuse), internal, 0},
		{wrap(&idemtx.SchemaError{}), internal, 0},
		{wrap(errRecord), internal, 0},
		{wrap(errBodyTaken), internal, 0},
		{wrap(&pgconn.PgError{Code: "23503"}), internal, 0}, // a deferred constraint at COMMIT
		{wrap(&pgconn.PgError{Code: "42501"}), internal, 0}, // no right to the table
		{wrap(&pgconn.PgError{Code: "P0001"}), internal, 0},
		{wrap(&pgconn.PgError{}), internal, 0},
		{wrap(&pgconn.PgError{Code: "40001"}), unavailable, time.Second},
		{wrap(&pgconn.PgError{Code: "40P01"}), unavailable, time.Second},
		{wrap(&pgconn.PgError{Code: "57P01"}), unavailable, time.Second},
		{wrap(&pgconn.PgError{Code: "57P03"}), unavailable, time.Second},
		{wrap(&pgconn.PgError{Code: "53300"}), unavailable, time.Second},
		{wrap(&pgconn.PgError{Code: "08006"}), unavailable, time.Second},
		{wrap(&pgconn.PgError{Code: "25006"}), unavailable, time.Second},
		{wrap(&pgconn.PgError{Code: "25P03"}), unavailable, time.Second},
		{wrap(&pgconn.PgError{Code: "25P04"}), unavailable, time.Second},
		{wrap(&pgconn.PgError{Code: "55P03"}), unavailable, time.Second},
		{wrap(idemtx.ErrOutcomeUnknown), unavailable, time.Second},
		{fmt.Errorf("%w: %w", idemtx.ErrOutcomeUnknown, &pgconn.PgError{Code: "28P01"}), unavailable, time.Second},
		{wrap(&net.OpError{Op: "dial", Err: errors.New("refused")}), unavailable, time.Second},
		{wrap(io.ErrUnexpectedEOF), unavailable, time.Second},
		{wrap(context.Canceled), unavailable, time.Second},
		{wrap(context.DeadlineExceeded), unavailable, time.Second},
		{errors.New("closed pool"), unavailable, time.Second},
	} {
		p := problemOf(test.err)
		require.Equal(t, test.want, p, test.err)
		require.Equal(t, test.retry, retryAfterOf(*p, test.err), test.err)
	}
}

// TestNothingOfARowIsLogged: what PostgreSQL says of a row, and what a trigger
// says, stays out of the log.
func TestNothingOfARowIsLogged(t *testing.T) {
	t.Parallel()
	attr := cause(fmt.Errorf("idemtx: commit: %w", &pgconn.PgError{
		Code: "23503", Message: "secret", Detail: "secret", Hint: "secret", Where: "secret",
		TableName: "items", ConstraintName: "items_order_fkey",
	}))
	require.Equal(t, "postgres=[sqlstate=23503 table=items constraint=items_order_fkey]", attr.String())
	require.Equal(t, "error=idemtx: the reply cannot be stored", cause(idemtx.ErrReplyNotStorable).String())
}
