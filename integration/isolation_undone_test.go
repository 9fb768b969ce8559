package integration

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// undoes are the places in which PostgreSQL may undo a transaction.
var undoes = map[string]func(f *fixture) (table, trigger string){
	"the handler":        func(f *fixture) (table, trigger string) { return f.schema + ".effects", "TRIGGER undo BEFORE" },
	"the reply's INSERT": func(f *fixture) (table, trigger string) { return f.table(), "TRIGGER undo BEFORE" },
	"COMMIT": func(f *fixture) (table, trigger string) {
		return f.schema + ".effects", "CONSTRAINT TRIGGER undo AFTER"
	},
}

// undone has PostgreSQL undo the first transactions that come to a place, each with
// the next of these SQLSTATEs.
func (f *fixture) undone(place string, codes ...string) {
	f.t.Helper()
	table, trigger := undoes[place](f)
	deferred := ""
	if place == "COMMIT" {
		deferred = "DEFERRABLE INITIALLY DEFERRED"
	}
	exec(f.t, `CREATE SEQUENCE `+f.schema+`.undoings MINVALUE 0 START 0;
		CREATE FUNCTION `+f.schema+`.undo() RETURNS trigger LANGUAGE plpgsql AS $$
			DECLARE code text := TG_ARGV[nextval(TG_TABLE_SCHEMA || '.undoings')];
		BEGIN
			IF code IS NOT NULL THEN
				RAISE EXCEPTION 'not this time' USING ERRCODE = code;
			END IF;
			RETURN NEW;
		END $$;
		CREATE `+trigger+` INSERT ON `+table+` `+deferred+` FOR EACH ROW
		EXECUTE FUNCTION `+f.schema+`.undo('`+strings.Join(codes, "', '")+`')`)
}

// everywhere calls test for each place, under each level.
func everywhere(t *testing.T, test func(t *testing.T, f *fixture, place string)) {
	t.Helper()
	for place := range undoes {
		for _, level := range isolations {
			t.Run(place+" "+string(level), func(t *testing.T) {
				t.Parallel()
				test(t, newFixture(t, withIsolation(level)), place)
			})
		}
	}
}

// Do runs it again wherever it was undone, until it succeeds or MaxAttempts are
// used up; then the caller hears of what has happened, and nothing is left.
func TestUndoneAnywhereIsRunAgain(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, f *fixture, place string) {
		t.Helper()
		f.undone(place, "40001", "40P01", "40001", "40P01")
		fn, runs := counting(f, "k")
		_, err := idemtx.Do(t.Context(), f.store, f.request("k"), fn)
		require.Equal(t, "40001", state(err), err)
		require.EqualValues(t, 3, runs.Load())
		require.Zero(t, f.effects("k")+f.rows("k"))

		reply, err := idemtx.Do(t.Context(), f.store, f.request("k"), fn)
		require.NoError(t, err)
		require.EqualValues(t, 3+2, runs.Load())
		require.False(t, reply.Replayed)
		requireOnce(f, "k", reply)
	})
}

// DoTx returns it, or COMMIT does. Up to there the caller's transaction has
// nothing of the call in it and goes on.
func TestUndoneAnywhereIsReturnedByDoTx(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, f *fixture, place string) {
		t.Helper()
		exec(t, "CREATE TABLE "+f.schema+".notes (note text)")
		f.undone(place, "40001", "40P01")
		fn, runs := counting(f, "k")
		for calls, code := range []string{"40001", "40P01", ""} {
			tx := transaction(f)
			note := func() {
				_, err := tx.Exec(t.Context(), "INSERT INTO "+f.schema+".notes VALUES ('kept')")
				require.NoError(t, err)
			}
			note()
			_, err := idemtx.DoTx(t.Context(), f.store, tx, f.request("k"), fn)
			if place == "COMMIT" {
				require.NoError(t, err)
				err = tx.Commit(t.Context())
			} else {
				note()
				require.NoError(t, tx.Commit(t.Context()))
			}
			require.Equal(t, code, state(err), err)
			require.EqualValues(t, calls+1, runs.Load())
		}
		notes := 6
		if place == "COMMIT" {
			notes = 1
		}
		require.Equal(t, notes, ask[int](t, "SELECT count(*) FROM "+f.schema+".notes"))
		require.Equal(t, 1, f.effects("k"))
		require.Equal(t, 1, f.rows("k"))
		f.idle()
	})
}

// A refusal's transaction may be undone as well. What the handler said of the
// world is said of a world that is no more, so it is asked again.
func TestUndoneRefusalIsRunAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.undone("the reply's INSERT", "40001", "40P01")
	runs := 0
	reply, err := idemtx.Do(t.Context(), f.store, f.request("k"), func(ctx context.Context, tx pgx.Tx) (order, error) {
		runs++
		o, err := f.effect(ctx, tx, "k")
		return o, errors.Join(err, idemtx.ErrRefused)
	})
	require.NoError(t, err)
	require.True(t, reply.Refused)
	require.False(t, reply.Replayed)
	require.Equal(t, 3, runs)
	require.Zero(t, f.effects("k"))
	require.Equal(t, 1, f.rows("k"))
	f.idle()
}

// What COMMIT fails of is the handler's, and not of its reply: a deferred
// constraint is no key that was taken, and no reply that cannot be stored.
func TestRefusedAtCommitIsNotAboutTheReply(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	codes := []string{"23505", "23502", "55P03", "22012", "54000", "3B001", "57014"}
	f.undone("COMMIT", codes...)
	for _, code := range codes {
		fn, runs := counting(f, "k")
		_, err := idemtx.Do(t.Context(), f.store, f.request("k"), fn)
		require.Equal(t, code, state(err), err)
		for _, wrong := range []error{
			idemtx.ErrInFlight, idemtx.ErrReplyNotStorable, idemtx.ErrTxMisuse, idemtx.ErrOutcomeUnknown,
		} {
			require.NotErrorIs(t, err, wrong, code)
		}
		require.EqualValues(t, 1, runs.Load(), code)
	}
	require.Zero(t, f.effects("k")+f.rows("k"))
	f.idle()
}

// The question whether the key is free may be what PostgreSQL undoes: a reader can
// be the one that does not fit into any order. Nothing was run, so it does not
// count as an attempt, and is not asked for ever either.
func TestUndoneQuestionIsPutAgain(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"40001", "40P01"} {
		f := newFixture(t)
		doubted := questioned(f, code, 5)
		fn, runs := counting(f, "k")
		_, err := idemtx.Do(t.Context(), doubted.store, f.request("k"), fn)
		require.Equal(t, code, state(err), err)
		require.Zero(t, runs.Load())
		require.Zero(t, f.effects("k")+f.rows("k"))
		doubted.idle()

		reply, err := idemtx.Do(t.Context(), doubted.store, f.request("k"), fn)
		require.NoError(t, err)
		require.EqualValues(t, 1, runs.Load())
		requireOnce(f, "k", reply)
	}
}

// questioned is the fixture with a view in the table's place, that fails the first
// times it is looked at.
func questioned(f *fixture, code string, times int) *fixture {
	f.t.Helper()
	view := newSchema(f.t)
	exec(f.t, `CREATE SEQUENCE `+view+`.looks;
		CREATE FUNCTION `+view+`.look(code text, times bigint) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$ BEGIN
			IF nextval('`+view+`.looks') <= times THEN
				RAISE EXCEPTION 'not this time' USING ERRCODE = code;
			END IF;
			RETURN true;
		END $$;
		CREATE VIEW `+view+`.idemtx_replies AS
		SELECT r.* FROM `+f.table()+` AS r WHERE `+view+`.look('`+code+`', `+strconv.Itoa(times)+`)`)
	// It fails for a row that it comes across: the function costs nothing, so it is
	// called before the row is compared with the key.
	exec(f.t, "INSERT INTO "+f.table()+" (scope, key, fingerprint, response, created_at, expires_at)"+
		" SELECT 'someone', 'another', sha256(''), '1', now(), now() + interval '1 hour'")
	return f.peer(withConfig(func(c *idemtx.Config) { c.Schema = view }),
		withSetting("enable_indexscan", "off"), withSetting("enable_bitmapscan", "off"))
}
