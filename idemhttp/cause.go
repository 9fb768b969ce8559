package idemhttp

import (
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// failuresOf are what the statements of a handler have failed of. A handler
// answers an error of PostgreSQL with a 500 of its own, in which what calls for
// another run cannot be told from anything else.
func failuresOf(tx pgx.Tx) []error {
	return tx.(interface{ Failures() []error }).Failures() // as the one of idemtx.Do does
}

// undoing is the failure by which PostgreSQL has undone a part of the transaction
// or all of it for no fault of the handler's, or nil.
func undoing(failures []error) error {
	i := slices.IndexFunc(failures, func(err error) bool {
		pgErr, ok := errors.AsType[*pgconn.PgError](err)
		return ok && (pgErr.Code == "40001" || pgErr.Code == "40P01")
	})
	if i < 0 {
		return nil
	}
	return failures[i]
}

// ofTheMoment tells that a statement has failed for another reason than what it asked
// for: one that PostgreSQL gives as of the moment, or one that is not its own,
// such as a connection or a deadline.
func ofTheMoment(err error) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return !ok || passing(pgErr)
}

// passing tells that the server will not refuse for long: by the classes of
// PostgreSQL's appendix A, a broken connection, an undone transaction, a lack of
// resources, an intervention, the standby of a server that is taking over, a
// transaction that was idle or open for too long, a lock that was not to be had, and a prepared statement that has become another one,
// as by a migration, or is gone.
func passing(e *pgconn.PgError) bool {
	if len(e.Code) != 5 {
		return false
	}
	switch e.Code[:2] {
	case "08", "40", "53", "57":
		return true
	}
	switch e.Code {
	case "25006", "25P03", "25P04", "26000", "55P03":
		return true
	}
	return e.Code == "0A000" && e.Routine == "RevalidateCachedQuery"
}
