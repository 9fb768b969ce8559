package integration

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// refusedAtCommit makes COMMIT of an effect fail with a SQLSTATE, that many times.
func refusedAtCommit(f *fixture, code string, times int) {
	f.t.Helper()
	exec(f.t, `CREATE SEQUENCE `+f.schema+`.commits;
		CREATE FUNCTION `+f.schema+`.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF nextval(TG_ARGV[0]::regclass) <= TG_ARGV[1]::bigint THEN
				RAISE EXCEPTION 'not this time' USING ERRCODE = TG_ARGV[2];
			END IF;
			RETURN NULL;
		END $$;
		CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON `+f.schema+`.effects DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW EXECUTE FUNCTION `+f.schema+`.refuse('`+f.schema+`.commits', '`+strconv.Itoa(times)+`', '`+code+`')`)
}

// A COMMIT that is refused has undone everything. What PostgreSQL refuses for no
// fault of the transaction is tried again; what a constraint refuses is not.
func TestCommitIsRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		code     string
		times    int
		attempts int
		runs     int
	}{
		{"40001", 1, 3, 2},
		{"40P01", 2, 3, 3},
		{"40001", 9, 3, 3},
		{"40001", 9, 1, 1},
		{"23514", 1, 3, 1},
	} {
		f := newFixture(t, withMaxAttempts(test.attempts))
		refusedAtCommit(f, test.code, test.times)
		fn, runs := counting(f, "k")
		reply, err := idemtx.Do(t.Context(), f.store, f.request("k"), fn)
		require.EqualValues(t, test.runs, runs.Load(), test)
		if test.runs > test.times {
			require.NoError(t, err, test)
			requireOnce(f, "k", reply)
			continue
		}
		require.Equal(t, test.code, state(err), test)
		require.Zero(t, f.effects("k"))
		require.Zero(t, f.rows("k"))
		f.idle()
	}
}
