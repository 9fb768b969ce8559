package integration

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/integration/internal/written"
)

// journal is a log that may be read while it is written.
type journal = written.Text

func withJournal(j *journal) option {
	return withConfig(func(c *idemtx.Config) { c.Logger = slog.New(slog.NewTextHandler(j, nil)) })
}

func claims(t *trip) bool   { return t.has("INSERT INTO") && t.has("lease_id") }
func saves(t *trip) bool    { return t.has("response = $4") }
func renews(t *trip) bool   { return t.has("SET lease_until") && !saves(t) }
func releases(t *trip) bool { return t.has("DELETE FROM") && t.has("lease_id") }

// A claim whose answer is lost may be there all the same, so it is given back
// before anything has been done.
func TestClaimWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	for _, lost := range []fate{drop, swallow} {
		wire := newProxy(t)
		f := newFixture(t, through(wire))
		judge, met := once(claims, lost)
		wire.meet(judge)
		_, err := poolMode.do(t.Context(), f, f.request("k"), mustNotRun(t))
		require.Error(t, err)
		require.True(t, met.Load())
		require.Zero(t, f.rows("k"))
		reply, err := poolMode.do(t.Context(), f, f.request("k"), effect(f, "k"))
		require.NoError(t, err)
		requireOnce(f, "k", reply)
	}
}

// One that cannot be given back is left to its lease, and the log says so.
func TestClaimThatCannotBeGivenBack(t *testing.T) {
	t.Parallel()
	wire, log := newProxy(t), new(journal)
	f := newFixture(t, through(wire), withJournal(log))
	const key = "a-key-that-nobody-may-read"
	wire.meet(func(t *trip) fate {
		switch {
		case claims(t):
			return swallow
		case releases(t):
			return drop
		}
		return deliver
	})
	_, err := poolMode.do(t.Context(), f, f.request(key), mustNotRun(t))
	require.Error(t, err)
	require.NotEmpty(t, f.lease(key))
	require.Contains(t, log.String(), "not released")
	require.NotContains(t, log.String(), key)
	require.NotContains(t, log.String(), "principal")
	require.Contains(t, log.String(), f.scope.LogID())

	wire.meet(nil)
	f.expire(key)
	reply, err := poolMode.do(t.Context(), f, f.request(key), effect(f, key))
	require.NoError(t, err)
	requireOnce(f, key, reply)
}

// The reply is saved again when the answer is lost, or the save itself.
func TestSaveWhoseAnswerIsLost(t *testing.T) { //nolint:paralleltest // a save has two seconds
	for _, lost := range [][]fate{{swallow}, {drop}, {swallow, drop}, {drop, swallow}} {
		wire := newProxy(t)
		f := newFixture(t, through(wire))
		left := lost
		wire.meet(func(t *trip) fate {
			if !saves(t) || len(left) == 0 {
				return deliver
			}
			next := left[0]
			left = left[1:]
			return next
		})
		reply, err := poolMode.do(t.Context(), f, f.request("k"), effect(f, "k"))
		require.NoError(t, err)
		require.Empty(t, left)
		require.False(t, reply.Replayed)
		requireOnce(f, "k", reply)
	}
}

// requireInFlight requires that who does not wait is told so, whatever the mode.
func requireInFlight(f *fixture, key string) {
	f.t.Helper()
	r := f.request(key)
	r.OnDuplicate = idemtx.Refuse
	for _, m := range modes {
		_, err := m.do(f.t.Context(), f, r, mustNotRun(f.t))
		require.ErrorIs(f.t, err, idemtx.ErrInFlight)
	}
}

// What was done and cannot be saved has not failed: the caller gets the reply,
// and the key stays claimed.
func TestSaveThatIsImpossible(t *testing.T) { //nolint:paralleltest // a save has two seconds
	wire := newProxy(t)
	f := newFixture(t, through(wire))
	var tries atomic.Int64
	wire.meet(func(t *trip) fate {
		if saves(t) {
			tries.Add(1)
			return drop
		}
		return deliver
	})
	reply, err := poolMode.do(t.Context(), f, f.request("k"), effect(f, "k"))
	require.ErrorIs(t, err, idemtx.ErrOutcomeUnknown)
	require.NotZero(t, reply.Value.Number)
	require.False(t, reply.Replayed)
	require.EqualValues(t, 3, tries.Load())
	require.NotEmpty(t, f.lease("k"))
	f.idle()

	wire.meet(nil)
	requireInFlight(f, "k")
	f.expire("k")
	again, err := poolMode.do(t.Context(), f, f.request("k"), effect(f, "k"))
	require.NoError(t, err)
	require.False(t, again.Replayed)
	require.Equal(t, 2, f.effects("k"))
}

// The save is for those who come later, so it does not end with the one who
// came first.
func TestSaveAfterTheContextHasEnded(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	reply, err := poolMode.do(ctx, f, f.request("k"), func(ctx context.Context, db execer) (order, error) {
		o, err := f.effect(ctx, db, "k")
		cancel()
		return o, err
	})
	require.NoError(t, err)
	requireOnce(f, "k", reply)
}

// A renewal that fails is logged, without values, and tried again.
func TestRenewalThatFails(t *testing.T) {
	t.Parallel()
	wire, log := newProxy(t), new(journal)
	f := newFixture(t, through(wire), withJournal(log), withLease(6*time.Second))
	const key = "a-key-that-nobody-may-read"
	judge, met := once(renews, drop)
	wire.meet(judge)
	a := hold(f, key)
	first := ask[time.Time](t, "SELECT lease_until FROM "+f.table())
	require.Eventually(t, func() bool {
		return ask[bool](t, "SELECT lease_until > $1 FROM "+f.table(), first)
	}, patience, tick)
	require.True(t, met.Load())
	require.NoError(t, a.ctx.Err())
	a.finish(nil)
	require.NoError(t, a.err)
	require.Equal(t, 1, strings.Count(log.String(), "not renewed"))
	require.NotContains(t, log.String(), key)
	require.NotContains(t, log.String(), "principal")
	requireOnce(f, key, a.reply)
}

// A:  UPDATE the claim to a reply ── held at the gate
// A's connection is cut, its save is sent again and waits for the first
// both land; they are one.
func TestSaveThatTakesLongerThanItsConnection(t *testing.T) { //nolint:paralleltest // a save has two seconds
	wire := newProxy(t)
	f := newFixture(t, through(wire))
	keeper := transaction(f.peer())
	judge, met := once(saves, abandon)
	wire.meet(judge)
	a := hold(f, "k")
	_, err := keeper.Exec(t.Context(), "SELECT FROM "+f.table()+" FOR UPDATE")
	require.NoError(t, err)
	a.end <- nil
	require.Eventually(t, func() bool {
		return met.Load() && ask[int](t, `SELECT count(*) FROM pg_stat_activity
			WHERE application_name = $1 AND wait_event_type = 'Lock'`, f.schema) == 2
	}, patience, tick)
	require.NoError(t, keeper.Rollback(t.Context()))
	a.ends(t)
	require.NoError(t, a.err)
	requireOnce(f, "k", a.reply)
}

// A save that PostgreSQL has undone for no fault of its own is sent again. The
// work is done, and there is nothing to run again in its place.
func TestSaveThatIsUndone(t *testing.T) { //nolint:paralleltest // a save has two seconds
	for _, code := range []string{"40001", "40P01", "55P03", "57014"} { //nolint:paralleltest // as above
		t.Run(code, func(t *testing.T) {
			f := newFixture(t)
			exec(t, `CREATE SEQUENCE `+f.schema+`.saves;
				CREATE FUNCTION `+f.schema+`.undo() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
					IF nextval(TG_ARGV[0]::regclass) = 1 THEN
						RAISE EXCEPTION 'not this time' USING ERRCODE = TG_ARGV[1];
					END IF;
					RETURN NEW;
				END $$;
				CREATE TRIGGER undo BEFORE UPDATE ON `+f.table()+` FOR EACH ROW WHEN (NEW.response IS NOT NULL)
				EXECUTE FUNCTION `+f.schema+`.undo('`+f.schema+`.saves', '`+code+`')`)
			reply, err := poolMode.do(t.Context(), f, f.request("k"), effect(f, "k"))
			require.NoError(t, err)
			require.False(t, reply.Replayed)
			requireOnce(f, "k", reply)
		})
	}
}
