package integration

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// requireOfTheWork requires that an error is the work's own, as it is.
func requireOfTheWork(t *testing.T, err error, code, message string) {
	t.Helper()
	var pgErr *pgconn.PgError
	require.ErrorAs(t, err, &pgErr)
	require.Equal(t, code, pgErr.Code)
	require.Contains(t, pgErr.Message, message)
	var schemaErr *idemtx.SchemaError
	require.NotErrorAs(t, err, &schemaErr)
	for _, wrong := range []error{
		idemtx.ErrInFlight, idemtx.ErrReplyNotStorable, idemtx.ErrTxMisuse, idemtx.ErrOutcomeUnknown,
	} {
		require.NotErrorIs(t, err, wrong)
	}
}

// A statement that raises, whichever it is, and whatever it raises: some of the
// codes mean something else in a statement of idemtx's.
func batchForgetsAfterAnError(t *testing.T, via option) {
	f := newFixture(t, via)
	decline := declining(f)
	for _, code := range []string{"ID001", "P0001", "22012", "22P02", "21000", "23502", "23505", "23514", "3B001", "54000", "55P03"} {
		for name, work := range map[string]*pgx.Batch{
			"first":  f.ordering("k", decline(code)),
			"middle": f.ordering("k", f.making("k"), decline(code)),
			"last":   batchOf(f.making("k"), decline(code)),
			"only":   batchOf(decline(code)),
		} {
			reply, err := f.batch(t.Context(), f.request("k"), work)
			require.Error(t, err, code+" "+name)
			requireOfTheWork(t, err, code, "declined")
			require.Zero(t, reply)
			require.Zero(t, f.effects("k")+f.rows("k"), code+" "+name)
		}
	}
	f.requireForgotten("k")
}

func batchForgetsAfterAViolation(t *testing.T, via option) {
	f := newFixture(t, via)
	exec(t, "ALTER TABLE "+f.schema+".effects ADD CONSTRAINT once UNIQUE (key), "+
		"ADD CONSTRAINT cheap CHECK (key <> 'gold'), ALTER key SET NOT NULL")
	null := &pgx.Batch{}
	null.Queue("INSERT INTO "+f.schema+".effects (key) VALUES ($1) RETURNING id AS number", nil)
	for code, work := range map[string]*pgx.Batch{
		"23505": f.ordering("k", f.making("k")),
		"23514": batchOf(f.making("k"), f.making("gold"), returning),
		"23502": null,
	} {
		_, err := f.batch(t.Context(), f.request("k"), work)
		requireOfTheWork(t, err, code, "violates")
		require.Zero(t, f.effects("k")+f.rows("k"), code)
	}
	f.requireForgotten("k")
}

// Mistakes that PostgreSQL or pgx find.
func batchForgetsAfterAMistake(t *testing.T, via option) {
	f := newFixture(t, via)
	for _, c := range []struct{ sql, code, says string }{
		{"SELEC 1", "42601", "SELEC"},
		{"SELECT 1 FROM " + f.schema + ".missing", "42P01", "missing"},
		{"SELECT missing FROM " + f.schema + ".effects", "42703", "missing"},
		{"SELECT " + f.schema + ".missing()", "42883", "missing"},
	} {
		for name, work := range map[string]*pgx.Batch{
			"first": f.ordering("k", c.sql), "last": batchOf(f.making("k"), c.sql),
		} {
			_, err := f.batch(t.Context(), f.request("k"), work)
			require.Error(t, err, name)
			requireOfTheWork(t, err, c.code, c.says)
			require.Zero(t, f.effects("k")+f.rows("k"), c.sql)
		}
	}
	for name, sql := range map[string]string{
		"nothing that returns":    f.making("k"),
		"no statement for a WITH": "CALL " + f.schema + ".missing()",
	} {
		_, err := f.batch(t.Context(), f.request("k"), batchOf(f.making("k"), sql))
		require.Error(t, err, name)
		require.NotErrorIs(t, err, idemtx.ErrOutcomeUnknown, name)
	}
	f.requireForgotten("k")
}

// A table that is missing is told apart from one of the work's.
func batchTableMissing(t *testing.T, via option) {
	for name, c := range map[string]struct{ breaks, says string }{
		"table":  {"DROP TABLE @", "the table is missing, cure: call CreateSchema, or put SchemaSQL into your migrations"},
		"column": {"ALTER TABLE @ DROP COLUMN expires_at CASCADE", "a column is missing, cure: call VerifySchema, which says which"},
	} {
		f := newFixture(t, via)
		exec(t, replace(f, c.breaks))
		_, err := f.batch(t.Context(), f.request("k"), f.ordering("k"))
		var schemaErr *idemtx.SchemaError
		require.ErrorAs(t, err, &schemaErr, name)
		require.Equal(t, pgx.Identifier{f.schema, "idemtx_replies"}.Sanitize(), schemaErr.Table, name)
		require.Equal(t, []string{c.says}, schemaErr.Differences, name)
		require.Zero(t, f.effects("k"), name)
		f.idle()
		if name == "table" { // it may be made while the store is in use
			require.NoError(t, f.store.CreateSchema(t.Context()))
			f.requireForgotten("k")
		}
	}
}
