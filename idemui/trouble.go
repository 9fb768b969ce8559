package idemui

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/idemtx/idemtx/idemtx"
)

// trouble is what a reader is told of an error of the database.
type trouble struct {
	Slow   bool                // it took longer than Config.Timeout, or than the server allows
	Schema *idemtx.SchemaError // the table is not as it has to be
}

// troubleOf returns nil where there is none.
func troubleOf(err error) *trouble {
	if err == nil {
		return nil
	}
	t := &trouble{Slow: isSlow(err)}
	errors.As(err, &t.Schema)
	return t
}

// logged returns err. The log has what the reader is not told: an error's text is the
// database's, and a page shows only what is known to be harmless.
func (h *Handler) logged(what string, err error) error {
	if err != nil && !isSlow(err) {
		h.log(what, err)
	}
	return err
}

func isSlow(err error) bool {
	const queryCanceled = "57014" // by statement_timeout
	var pgErr *pgconn.PgError
	return errors.Is(err, context.DeadlineExceeded) || pgconn.Timeout(err) ||
		errors.As(err, &pgErr) && pgErr.Code == queryCanceled
}
