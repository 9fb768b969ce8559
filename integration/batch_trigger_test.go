package integration

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What a trigger of the table's raises is no failure of the work, and the row that
// it may quote is not told.
func TestBatchBehindARaisingTrigger(t *testing.T) {
	t.Parallel()
	inEveryExecMode(t, behindARaisingTrigger)
}

func behindARaisingTrigger(t *testing.T, via option) {
	t.Helper()
	for _, raise := range []string{
		"'no %', NEW.key", "'no' USING DETAIL = NEW::text, ERRCODE = 'check_violation'",
		"'no' USING DETAIL = NEW::text, ERRCODE = 'ID001'",
	} {
		f := newFixture(t, via)
		exec(t, replace(f, `CREATE FUNCTION $.tell() RETURNS trigger LANGUAGE plpgsql AS $body$ BEGIN
				RAISE EXCEPTION `+raise+`; END $body$;
			CREATE TRIGGER tell BEFORE INSERT ON @ FOR EACH ROW EXECUTE FUNCTION $.tell()`))
		_, err := f.batch(t.Context(), f.request("secret"), f.ordering("k"))
		require.ErrorContains(t, err, "idemtx: store the reply", raise)
		require.NotContains(t, everything(err), "secret", raise)
		require.NotContains(t, everything(err), mark, raise)
		require.Zero(t, f.effects("k")+f.rows("secret"))
		exec(t, replace(f, "DROP TRIGGER tell ON @"))
		f.requireForgotten("k")
	}
}
