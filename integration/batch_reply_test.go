package integration

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// replace puts the fixture's schema for $ and its table for @.
func replace(f *fixture, sql string) string {
	return strings.NewReplacer("$.", f.schema+".", "@", f.table()).Replace(sql)
}

func batchReplyThatCannotBeStored(t *testing.T, via option) {
	f := newFixture(t, via, withConfig(func(c *idemtx.Config) { c.MaxReplyBytes = 100 }))
	exec(t, f.making("one")+"; "+f.making("one"))
	for sql, want := range map[string]error{
		"SELECT repeat('x', 200) AS note":                                                idemtx.ErrReplyNotStorable,
		"SELECT id FROM " + f.schema + ".effects WHERE id < 0":                           pgx.ErrNoRows,
		"SELECT id FROM " + f.schema + ".effects WHERE key = 'one'":                      pgx.ErrTooManyRows,
		"UPDATE " + f.schema + ".effects SET key = 'two' WHERE id < 0 RETURNING id":      pgx.ErrNoRows,
		"UPDATE " + f.schema + ".effects SET key = 'two' WHERE key = 'one' RETURNING id": pgx.ErrTooManyRows,
		"DELETE FROM " + f.schema + ".effects WHERE key = 'one' RETURNING id":            pgx.ErrTooManyRows,
	} {
		reply, err := f.batch(t.Context(), f.request("k"), batchOf(f.making("k"), sql))
		require.ErrorIs(t, err, want, sql)
		require.NotContains(t, err.Error(), "xxx")
		require.Zero(t, reply)
		require.Zero(t, f.effects("k")+f.rows("k"), sql)
		require.Equal(t, 2, f.effects("one"), sql)
	}
	f.requireForgotten("k")

	// The bound itself is not too long.
	text := strings.Repeat("x", 100-len(`{"note": ""}`))
	_, err := f.batch(t.Context(), f.request("fits"), batchOf("SELECT '"+text+"' AS note"))
	require.NoError(t, err)
	_, err = f.batch(t.Context(), f.request("one more"), batchOf("SELECT '"+text+"x' AS note"))
	require.ErrorIs(t, err, idemtx.ErrReplyNotStorable)
}

func batchStoredReplyThatDoesNotDecode(t *testing.T, via option) {
	f := newFixture(t, via)
	r := f.request("k")
	fingerprint, err := idemtx.FingerprintOf(r.Operation, r.Payload)
	require.NoError(t, err)
	stored, err := f.store.Put(t.Context(), f.scope, "k", idemtx.Entry{
		Fingerprint: fingerprint, Response: []byte(`{"number": "secret"}`),
	})
	require.NoError(t, err)
	require.True(t, stored)
	_, err = f.batch(t.Context(), r, f.ordering("k"))
	require.ErrorContains(t, err, "does not decode")
	require.NotContains(t, err.Error(), "secret")
	f.idle()
	require.Zero(t, f.runs())
}

// A first reply that does not decode is stored, as the error says, and so is the
// work: each retry gets the same error, and whoever can read the reply gets it.
func batchFirstReplyThatDoesNotDecode(t *testing.T, via option) {
	f := newFixture(t, via)
	work := batchOf(f.making("k"), "SELECT 'secret' AS number")
	var told string
	for _, p := range processes(f, via) {
		for range 2 {
			reply, err := p.batch(t.Context(), p.request("k"), work)
			require.ErrorContains(t, err, "stored")
			require.ErrorContains(t, err, "does not decode")
			require.NotErrorIs(t, err, idemtx.ErrReplyNotStorable)
			require.NotContains(t, err.Error(), "secret")
			require.Zero(t, reply)
			if told == "" {
				told = err.Error()
			}
			require.Equal(t, told, err.Error())
			p.idle()
		}
	}
	require.Equal(t, 1, f.runs())
	require.Equal(t, 1, f.effects("k"))
	again, err := idemtx.DoBatch[map[string]string](t.Context(), f.store, f.request("k"), work)
	require.NoError(t, err)
	require.True(t, again.Replayed)
	require.Equal(t, map[string]string{"number": "secret"}, again.Value)
}

func batchSwallowedReplyUndoesTheWork(t *testing.T, via option) {
	f := newFixture(t, via)
	exec(t, replace(f, `CREATE FUNCTION $.swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
		CREATE TRIGGER swallow BEFORE INSERT ON @ FOR EACH ROW EXECUTE FUNCTION $.swallow()`))
	_, err := f.batch(t.Context(), f.request("k"), f.ordering("k", f.making("k")))
	require.ErrorIs(t, err, idemtx.ErrReplyNotStorable)
	require.ErrorContains(t, err, "trigger")
	require.Zero(t, f.effects("k")+f.rows("k"))
	exec(t, replace(f, "DROP TRIGGER swallow ON @"))
	f.requireForgotten("k")
}
