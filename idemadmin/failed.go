package idemadmin

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/internal/pgredact"
)

// failed says what the statement that failed was for. When the table is not as
// needed, the error is the [*idemtx.SchemaError] that says in what.
func failed(ctx context.Context, s *idemtx.Store, what string, err error) error {
	var unconnected *pgconn.ConnectError // before any statement, so that it quotes no row
	var pgErr *pgconn.PgError
	if errors.As(err, &unconnected) || !errors.As(err, &pgErr) {
		for strings.HasPrefix(err.Error(), "scany: ") && errors.Unwrap(err) != nil {
			err = errors.Unwrap(err) // how rows are read is of no interest to operators
		}
		return fmt.Errorf("idemadmin: %s: %w", what, err)
	}
	switch pgErr.Code {
	case "42P01", "3F000", "42703", "42501": // undefined_table, invalid_schema_name, undefined_column, insufficient_privilege
		var differs *idemtx.SchemaError
		if errors.As(s.VerifySchema(ctx), &differs) {
			return fmt.Errorf("idemadmin: %s: %w", what, differs)
		}
	}
	return fmt.Errorf("idemadmin: %s: %w", what, pgredact.WithoutValues(pgErr))
}
