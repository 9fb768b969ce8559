// Package pgredact takes the data of rows out of PostgreSQL's errors.
package pgredact

import (
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// WithoutValues copies what can hold no data of a row: no detail, no context, and
// the message only where it is a fixed text or names objects.
func WithoutValues(e *pgconn.PgError) *pgconn.PgError {
	message := e.Message
	switch {
	case strings.HasPrefix(e.Code, "22"): // data exceptions quote the data
		message = "data exception"
	case strings.HasPrefix(e.Code, "P0"), e.Routine == "exec_stmt_raise":
		message = "raised by a trigger" // which may have put the row into it
	}
	return &pgconn.PgError{
		Severity: e.Severity, SeverityUnlocalized: e.SeverityUnlocalized,
		Code: e.Code, Message: message,
		SchemaName: e.SchemaName, TableName: e.TableName, ColumnName: e.ColumnName,
		ConstraintName: e.ConstraintName, File: e.File, Line: e.Line, Routine: e.Routine,
	}
}
