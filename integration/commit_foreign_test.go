package integration

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// raising is a trigger's function that fails as postgres_fdw does when it loses a
// server of its own: with an error of class 08 on a connection that goes on.
func raising(f *fixture) (name string) {
	f.t.Helper()
	name = f.schema + ".remote"
	exec(f.t, "CREATE FUNCTION "+name+`() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN RAISE EXCEPTION 'server closed the connection unexpectedly' USING ERRCODE = '08006'; END $$`)
	return name
}

// An error of class 08 is no lost connection while the connection is there.
func TestCommitThatFailsForAForeignServer(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	exec(t, "CREATE CONSTRAINT TRIGGER remote AFTER INSERT ON "+f.schema+".effects DEFERRABLE INITIALLY DEFERRED "+
		"FOR EACH ROW EXECUTE FUNCTION "+raising(f)+"()")
	fn, runs := counting(f, "k")
	_, err := idemtx.Do(t.Context(), f.store, f.request("k"), fn)
	require.ErrorContains(t, err, "SQLSTATE 08006")
	require.NotErrorIs(t, err, idemtx.ErrOutcomeUnknown)
	require.EqualValues(t, 1, runs.Load())
	require.Zero(t, f.effects("k"))
	f.idle()
}

func TestReplyThatFailsForAForeignServer(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	exec(t, "CREATE TRIGGER remote AFTER INSERT ON "+f.table()+" FOR EACH ROW EXECUTE FUNCTION "+raising(f)+"()")
	fn, runs := counting(f, "k")
	_, err := idemtx.Do(t.Context(), f.store, f.request("k"), fn)
	require.ErrorContains(t, err, "SQLSTATE 08006")
	require.EqualValues(t, 1, runs.Load())
	require.Zero(t, f.effects("k"))
	f.idle()
}
