package idemadmin

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/idemtx/idemtx/idemtx"
)

// Level is how bad a [Finding] is.
type Level string

// The levels of findings.
const (
	LevelOK   Level = "ok"   // as it should be, or nothing can be known about it
	LevelWarn Level = "warn" // works, and will hurt one day
	LevelBad  Level = "bad"  // does not work, or a promise of idemtx does not hold
)

// Finding is one thing that [Examine] has looked at.
type Finding struct {
	Level   Level
	Subject string // what was looked at: server, settings, pooler, table, vacuum, index, sweeper, waits, holders
	Text    string // what was found
	Advice  string // what to do about it; of a table that differs, SQL for its owner; empty when nothing is to be done
}

// long is when a wait for a key, or a transaction that holds one and does nothing,
// deserves a look.
const long = 5 * time.Second

// Examine looks at the server, at its settings as the role of the pool gets them, at
// what is in between, at the table, and at who waits for whom in this database at
// the moment. It changes nothing. Use the application's own URL: another role may
// have other settings and rights.
//
// The error is that of a database that does not answer, or not in time. Whatever else is
// wrong is a finding.
func Examine(ctx context.Context, s *idemtx.Store) ([]Finding, error) {
	var all []Finding
	for _, part := range []struct {
		subject string
		look    func(context.Context, *idemtx.Store) ([]Finding, error)
	}{
		{subjectServer, examineServer},
		{subjectPooler, examinePooler},
		{subjectTable, examineSchema}, // before those that need the table
		{subjectVacuum, examineVacuum},
		{subjectIndex, examineIndexes},
		{subjectSweeper, examineSweeper},
		{subjectWaits, examineWaits},
		{subjectHolders, examineHolders},
		{subjectHolders, examinePrepared},
	} {
		found, err := part.look(ctx, s)
		switch {
		case err == nil:
			all = append(all, found...)
		case unprepared(err):
			all = append(all, Finding{
				LevelBad, subjectPooler, "one is in between that does not carry prepared statements, which pgx's exec mode needs",
				"set default_query_exec_mode=exec in the URL",
			})
		case !lacking(err):
			return all, failed(ctx, s, "examine", err)
		case !slices.ContainsFunc(all, func(f Finding) bool { return f.Level == LevelBad && f.Subject == subjectTable }):
			all = append(all, Finding{
				LevelOK, part.subject, "nothing can be known: the role may not look, or the server has not what is looked at",
				"examine as a role with pg_monitor",
			})
		}
	}
	return all, nil
}

// lacking tells that a statement failed because of what is not there or not allowed.
// Of the table examineSchema has told.
func lacking(err error) bool {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return false
	}
	switch pgErr.Code {
	case "42P01", "3F000", "42703", "42501", "42883": // no such table, schema, column, right, or operator for its type
		return true
	}
	return false
}

// unprepared tells that a statement was prepared on another connection of the server
// than the one that was to run it.
func unprepared(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && (pgErr.Code == "26000" || pgErr.Code == "42P05")
}

func ok(subject, text string) []Finding { return []Finding{{LevelOK, subject, text, ""}} }
