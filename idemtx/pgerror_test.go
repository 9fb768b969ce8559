package idemtx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

// everyField is an error of the server with a secret wherever one may be.
func everyField(code string) *pgconn.PgError {
	return &pgconn.PgError{
		Severity: "FEHLER", SeverityUnlocalized: "ERROR", Code: code, Message: "the message",
		Detail: secret, Hint: secret, Position: 42, InternalPosition: 42, InternalQuery: secret, Where: secret,
		SchemaName: "public", TableName: "idemtx_replies", ColumnName: "key", DataTypeName: "text",
		ConstraintName: "key_length", File: "execMain.c", Line: 2000, Routine: "ExecConstraints",
	}
}

func TestAnErrorOfTheServerHoldsNoValues(t *testing.T) {
	t.Parallel()
	store := unconnected(t, Config{})
	cause := everyField("23514")
	for _, err := range []error{cause, fmt.Errorf("%s: %w", secret, cause), errors.Join(errors.New(secret), cause)} {
		failed := store.failed("store the reply", err)
		require.EqualError(t, failed, "idemtx: store the reply: FEHLER: the message (SQLSTATE 23514)")
		requireNoSecret(t, failed)

		var found *pgconn.PgError
		require.ErrorAs(t, failed, &found)
		require.Equal(t, &pgconn.PgError{
			Severity: "FEHLER", SeverityUnlocalized: "ERROR", Code: "23514", Message: "the message",
			SchemaName: "public", TableName: "idemtx_replies", ColumnName: "key",
			ConstraintName: "key_length", File: "execMain.c", Line: 2000, Routine: "ExecConstraints",
		}, found)
	}
	require.Equal(t, everyField("23514"), cause, "the original was changed")
}

// requireNoSecret looks into every error of the chain, whatever its text shows.
func requireNoSecret(t *testing.T, err error) {
	t.Helper()
	for ; err != nil; err = errors.Unwrap(err) {
		require.NotContains(t, err.Error(), secret)
		v := reflect.Indirect(reflect.ValueOf(err))
		require.NotContains(t, fmt.Sprintf("%+v", v), secret)
	}
}

func TestADataExceptionQuotesTheData(t *testing.T) {
	t.Parallel()
	store := unconnected(t, Config{})
	for _, code := range []string{"22P02", "22P05", "22021", "22003", "22000", "22032"} {
		cause := everyField(code)
		cause.Message = `invalid input syntax for type json: "` + secret + `"`
		failed := store.failed("store the reply", cause)
		require.EqualError(t, failed, "idemtx: store the reply: FEHLER: data exception (SQLSTATE "+code+")")
		requireNoSecret(t, failed)
	}
}

func TestTheSQLSTATEOfAFailureCanBeFound(t *testing.T) {
	t.Parallel()
	store := unconnected(t, Config{})
	for _, code := range []string{"23505", "40001", "55P03", "57P01", "22P05"} {
		require.Equal(t, code, sqlState(store.failed("x", everyField(code))))
	}
	require.Empty(t, sqlState(store.failed("x", io.ErrUnexpectedEOF)))
	require.Empty(t, sqlState(nil))
}

func TestAFailureOfNoServerKeepsItsCause(t *testing.T) {
	t.Parallel()
	store := unconnected(t, Config{})
	for _, cause := range []error{context.Canceled, context.DeadlineExceeded, io.ErrUnexpectedEOF} {
		failed := store.failed("connect", fmt.Errorf("read: %w", cause))
		require.ErrorIs(t, failed, cause)
		require.EqualError(t, failed, "idemtx: connect: read: "+cause.Error())
	}
}

func TestAMissingTableIsASchemaError(t *testing.T) {
	t.Parallel()
	store := unconnected(t, Config{Schema: `a"b`, Table: "order"})
	for code, difference := range map[string]string{
		"42P01": "the table is missing", "3F000": "the table is missing", "42703": "a column is missing",
	} {
		failed := store.failed("look up the key", fmt.Errorf("%s: %w", secret, everyField(code)))
		var schemaError *SchemaError
		require.ErrorAs(t, failed, &schemaError)
		require.Equal(t, `"a""b"."order"`, schemaError.Table)
		require.Contains(t, schemaError.Differences[0], difference)
		require.Contains(t, failed.Error(), `idemtx: look up the key: idemtx: table "a""b"."order" is not as needed: `+difference)
		requireNoSecret(t, failed)
	}
	var schemaError *SchemaError
	require.NotErrorAs(t, store.failed("x", everyField("42501")), &schemaError)
}

// After an ERROR the server goes on, after anything worse it does not, and what
// is not its answer tells nothing.
func TestSeverityTellsWhetherTheServerGoesOn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err      error
		rejected bool
	}{
		{nil, false},
		{io.ErrUnexpectedEOF, false},
		{context.DeadlineExceeded, false},
		{&pgconn.PgError{Severity: "ERROR"}, true},
		{&pgconn.PgError{Severity: "FATAL"}, false},
		{&pgconn.PgError{Severity: "PANIC"}, false},
		{&pgconn.PgError{Severity: "FEHLER", SeverityUnlocalized: "ERROR"}, true},
		{&pgconn.PgError{Severity: "ERROR", SeverityUnlocalized: "FATAL"}, false},
		{fmt.Errorf("x: %w", &pgconn.PgError{Severity: "ERROR"}), true},
		{fmt.Errorf("x: %w", &pgconn.PgError{Severity: "FATAL"}), false},
	} {
		require.Equal(t, c.rejected, rejected(c.err), "%#v", c.err)
	}
}

func TestWhatPostgreSQLHasUndoneMayBeDoneAgain(t *testing.T) {
	t.Parallel()
	for code, again := range map[string]bool{
		"40001": true, "40P01": true,
		"40002": false, "40003": false, "23505": false, "25P02": false, "55P03": false, "57P01": false, "": false,
	} {
		require.Equal(t, again, undone(&pgconn.PgError{Code: code}), code)
		require.Equal(t, again, undone(fmt.Errorf("x: %w", &pgconn.PgError{Code: code})), code)
	}
	require.False(t, undone(nil))
	require.False(t, undone(io.ErrUnexpectedEOF))
}

func TestAReplyThatTheServerRefusesIsNotStorable(t *testing.T) {
	t.Parallel()
	for code, refused := range map[string]bool{
		"22P05": true, "22P02": true, "22003": true, "54000": true, "54001": true,
		"23505": false, "23514": false, "42P01": false, "53200": false, "55P03": false, "": false,
	} {
		require.Equal(t, refused, notStorable(&pgconn.PgError{Code: code}), code)
	}
	require.False(t, notStorable(io.ErrUnexpectedEOF))
}

func TestWhyAReplyWasNotStored(t *testing.T) {
	t.Parallel()
	store := unconnected(t, Config{})
	for code, want := range map[string]error{
		"3B001": ErrTxMisuse, "55P03": ErrInFlight, "22P05": ErrReplyNotStorable, "54001": ErrReplyNotStorable,
	} {
		err := store.notStored(everyField(code))
		require.ErrorIs(t, err, want, code)
		requireNoSecret(t, err)
	}
	for _, code := range []string{"23505", "40001", "40P01"} {
		var undone *undoneError
		err := store.notStored(everyField(code))
		require.ErrorAs(t, err, &undone, code)
		require.Equal(t, code, sqlState(undone.cause))
		requireNoSecret(t, undone.cause)
	}
	// The clock's column is NULL in another transaction than the one that began.
	replaced := everyField("23502")
	replaced.ColumnName = "created_at"
	require.ErrorIs(t, store.notStored(replaced), ErrTxMisuse)
	for _, code := range []string{"42501", "53100", "25P02", "23502"} {
		err := store.notStored(everyField(code))
		require.Equal(t, code, sqlState(err))
		requireNoSecret(t, err)
	}
}

// A trigger may put NEW.key into its message.
func TestTheMessageOfATriggerIsDropped(t *testing.T) {
	t.Parallel()
	err := unconnected(t, Config{}).failed("store the reply", &pgconn.PgError{Severity: "ERROR", Code: "P0001", Message: secret})
	require.NotContains(t, err.Error(), secret)
}
