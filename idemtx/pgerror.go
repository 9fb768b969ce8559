package idemtx

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/idemtx/idemtx/internal/pgredact"
)

// SQLSTATEs that mean something here, by the names of PostgreSQL's manual,
// appendix A.
const (
	cardinalityViolation = "21000"
	divisionByZero       = "22012"
	notNullViolation     = "23502"
	uniqueViolation      = "23505"
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	lockNotAvailable     = "55P03"
	queryCanceled        = "57014"
	noSuchSavepoint      = "3B001"
	inFailedTransaction  = "25P02"
)

// failed says what the statement that failed was for, in an error that holds
// none of the values PostgreSQL may have put into the original's.
func (s *Store) failed(what string, err error) error {
	var pgErr *pgconn.PgError
	var unprepared pgx.ErrPreprocessingBatch
	switch {
	case errors.As(err, &pgErr):
	case errors.As(err, &unprepared): // its text quotes an argument that a codec refuses
		return &valueError{errUnsent, what, err}
	default:
		return fmt.Errorf("idemtx: %s: %w", what, err)
	}
	if missing := s.missingSchema(pgErr.Code); missing != nil {
		return fmt.Errorf("idemtx: %s: %w", what, missing)
	}
	return fmt.Errorf("idemtx: %s: %w", what, pgredact.WithoutValues(pgErr))
}

var errUnsent = errors.New("idemtx: a statement could not be sent")

// sqlState is the SQLSTATE of err, or empty when the server reported none.
func sqlState(err error) string {
	if err == nil {
		return ""
	}
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.Code
	}
	return ""
}

// columnOf is the column that err is about, or empty.
func columnOf(err error) string {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.ColumnName
	}
	return ""
}

// rejected tells that the server has refused a statement and goes on: after a
// FATAL the connection is gone, and without an answer anything may be.
func rejected(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && cmp.Or(pgErr.SeverityUnlocalized, pgErr.Severity) == "ERROR"
}

// undone tells that PostgreSQL has rolled a transaction back for no fault of
// its own, so that the same one may succeed.
func undone(err error) bool {
	code := sqlState(err)
	return code == serializationFailure || code == deadlockDetected
}

// notStorable tells that it was the reply which the server refused: a data
// exception such as U+0000 in a jsonb string, or JSON nested too deep.
func notStorable(err error) bool {
	code := sqlState(err)
	return strings.HasPrefix(code, "22") || strings.HasPrefix(code, "54")
}
