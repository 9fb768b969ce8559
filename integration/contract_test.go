package integration

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// mode is one of the three ways in, so that the contract is written once. Its
// handler works on what the mode gives it to work on.
type mode struct {
	name   idemtx.Mode
	atomic bool // what a failed or refused handler has written is undone
	do     func(ctx context.Context, f *fixture, r idemtx.Request, fn work) (idemtx.Reply[order], error)
}

type work func(ctx context.Context, db execer) (order, error)

var modes = []mode{
	{idemtx.ModeDo, true, func(ctx context.Context, f *fixture, r idemtx.Request, fn work) (idemtx.Reply[order], error) {
		return idemtx.Do(ctx, f.store, r, func(ctx context.Context, tx pgx.Tx) (order, error) { return fn(ctx, tx) })
	}},
	{idemtx.ModeDoTx, true, func(ctx context.Context, f *fixture, r idemtx.Request, fn work) (idemtx.Reply[order], error) {
		tx, err := f.pool.Begin(ctx)
		if err != nil {
			return idemtx.Reply[order]{}, err
		}
		defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
		reply, err := idemtx.DoTx(ctx, f.store, tx, r, func(ctx context.Context, tx pgx.Tx) (order, error) { return fn(ctx, tx) })
		// Committed after an error too: it has left a transaction that can be,
		// with nothing in it.
		return reply, errors.Join(err, tx.Commit(context.WithoutCancel(ctx)))
	}},
	{idemtx.ModeDoPool, false, func(ctx context.Context, f *fixture, r idemtx.Request, fn work) (idemtx.Reply[order], error) {
		return idemtx.DoPool(ctx, f.store, r, func(ctx context.Context) (order, error) { return fn(ctx, f.pool) })
	}},
}

var execModes = []pgx.QueryExecMode{
	pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
	pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
}

// contract is what all modes promise in all exec modes.
var contract = map[string]func(t *testing.T, m mode, via option){
	"RunsOnceAndReplays":             runsOnceAndReplays,
	"ReplaysInEveryMode":             replaysInEveryMode,
	"RefusesAnotherRequest":          refusesAnotherRequest,
	"KeepsScopesApart":               keepsScopesApart,
	"ForgetsAfterAnError":            forgetsAfterAnError,
	"KeepsARefusal":                  keepsARefusal,
	"PanicGoesOnAndFreesTheKey":      panicGoesOnAndFreesTheKey,
	"RunsOnceUnderRace":              runsOnceUnderRace,
	"WaiterOwnsWhatFailed":           waiterOwnsWhatFailed,
	"WaitsNoLongerThanMaxWait":       waitsNoLongerThanMaxWait,
	"RefusesWhileInFlight":           refusesWhileInFlight,
	"ExpiredKeyRunsAgain":            expiredKeyRunsAgain,
	"ExpiredKeyIsRefused":            expiredKeyIsRefused,
	"ReplyThatCannotBeStored":        replyThatCannotBeStored,
	"StoredReplyThatDoesNotDecode":   storedReplyThatDoesNotDecode,
	"CancelledBeforehandRunsNothing": cancelledBeforehandRunsNothing,
	"CancelledHandlerLeavesNothing":  cancelledHandlerLeavesNothing,
}

func TestContract(t *testing.T) {
	t.Parallel()
	for _, m := range modes {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			for _, exec := range execModes {
				t.Run(exec.String(), func(t *testing.T) {
					t.Parallel()
					for name, promise := range contract {
						t.Run(name, func(t *testing.T) {
							t.Parallel()
							promise(t, m, withExecMode(exec))
						})
					}
				})
			}
		})
	}
}

// mustNotRun is the handler of a request that is answered without one.
func mustNotRun(tb testing.TB) work {
	tb.Helper()
	return func(context.Context, execer) (order, error) {
		tb.Error("the handler ran")
		return order{}, nil
	}
}

// effect is the handler that makes an order.
func effect(f *fixture, key string) work {
	return func(ctx context.Context, db execer) (order, error) { return f.effect(ctx, db, key) }
}

func runsOnceAndReplays(t *testing.T, m mode, via option) {
	f := newFixture(t, via)
	first, err := m.do(t.Context(), f, f.request("k"), effect(f, "k"))
	require.NoError(t, err)
	require.False(t, first.Replayed)
	require.False(t, first.Refused)
	require.NotZero(t, first.Value.Number)
	require.Equal(t, 24*time.Hour, first.ExpiresAt.Sub(first.CreatedAt))

	second, err := m.do(t.Context(), f, f.request("k"), mustNotRun(t))
	require.NoError(t, err)
	require.True(t, second.Replayed)
	require.Equal(t, first.Value, second.Value)
	require.True(t, first.CreatedAt.Equal(second.CreatedAt) && first.ExpiresAt.Equal(second.ExpiresAt))
	require.Equal(t, 1, f.effects("k"))
	require.Equal(t, 1, f.rows("k"))

	short := f.request("short")
	short.TTL = 5 * time.Minute
	third, err := m.do(t.Context(), f, short, effect(f, "short"))
	require.NoError(t, err)
	require.Equal(t, 5*time.Minute, third.ExpiresAt.Sub(third.CreatedAt))
	f.idle()
}

func replaysInEveryMode(t *testing.T, m mode, via option) {
	f := newFixture(t, via)
	first, err := m.do(t.Context(), f, f.request("k"), effect(f, "k"))
	require.NoError(t, err)
	for _, other := range modes {
		again, err := other.do(t.Context(), f, f.request("k"), mustNotRun(t))
		require.NoError(t, err, other.name)
		require.True(t, again.Replayed, other.name)
		require.Equal(t, first.Value, again.Value, other.name)
	}
	entry, err := f.store.Get(t.Context(), f.scope, "k")
	require.NoError(t, err)
	require.JSONEq(t, string(mustJSON(t, first.Value)), string(entry.Response))
	r := f.request("k")
	want, err := idemtx.FingerprintOf(r.Operation, r.Payload)
	require.NoError(t, err)
	require.Equal(t, want, entry.Fingerprint)
	require.True(t, first.ExpiresAt.Equal(entry.ExpiresAt))
}

func refusesAnotherRequest(t *testing.T, m mode, via option) {
	f := newFixture(t, via)
	_, err := m.do(t.Context(), f, f.request("k"), effect(f, "k"))
	require.NoError(t, err)

	elsewhere := f.request("k")
	elsewhere.Operation = "POST /refunds"
	for _, r := range []idemtx.Request{f.other("k"), elsewhere} {
		reply, err := m.do(t.Context(), f, r, mustNotRun(t))
		require.ErrorIs(t, err, idemtx.ErrMismatch)
		require.Equal(t, idemtx.ErrMismatch.Error(), firstLine(err), "it must not tell of the other request")
		require.Zero(t, reply)
	}
	require.Equal(t, 1, f.effects("k"))
	f.idle()
}

func keepsScopesApart(t *testing.T, m mode, via option) {
	f := newFixture(t, via)
	first, err := m.do(t.Context(), f, f.request("k"), effect(f, "k"))
	require.NoError(t, err)
	r := f.request("k")
	r.Scope = mustScope(t, "tenant", "another")
	second, err := m.do(t.Context(), f, r, effect(f, "k"))
	require.NoError(t, err)
	require.False(t, second.Replayed)
	require.NotEqual(t, first.Value, second.Value)
}

func forgetsAfterAnError(t *testing.T, m mode, via option) {
	f := newFixture(t, via)
	declined := errors.New("declined")
	_, err := m.do(t.Context(), f, f.request("k"), func(ctx context.Context, db execer) (order, error) {
		_, err := f.effect(ctx, db, "k")
		return order{}, errors.Join(declined, err)
	})
	require.ErrorIs(t, err, declined)
	require.Zero(t, f.rows("k"))
	if m.atomic {
		require.Zero(t, f.effects("k"))
	}
	f.idle()
	reply, err := m.do(t.Context(), f, f.request("k"), effect(f, "k"))
	require.NoError(t, err)
	require.False(t, reply.Replayed)
}

func keepsARefusal(t *testing.T, m mode, via option) {
	f := newFixture(t, via)
	refuse := func(ctx context.Context, db execer) (order, error) {
		if _, err := f.effect(ctx, db, "k"); err != nil {
			return order{}, err
		}
		return order{Note: "sold out"}, errors.Join(errors.New("no stock"), idemtx.ErrRefused)
	}
	for i, fn := range []work{refuse, mustNotRun(t)} {
		reply, err := m.do(t.Context(), f, f.request("k"), fn)
		require.NoError(t, err)
		require.True(t, reply.Refused)
		require.Equal(t, i > 0, reply.Replayed)
		require.Equal(t, "sold out", reply.Value.Note)
	}
	if m.atomic {
		require.Zero(t, f.effects("k"))
	}
	// A refusal is the answer to one request, not to the key.
	_, err := m.do(t.Context(), f, f.other("k"), mustNotRun(t))
	require.ErrorIs(t, err, idemtx.ErrMismatch)
	f.idle()
}

func panicGoesOnAndFreesTheKey(t *testing.T, m mode, via option) {
	f := newFixture(t, via)
	require.PanicsWithValue(t, "boom", func() {
		_, _ = m.do(t.Context(), f, f.request("k"), func(ctx context.Context, db execer) (order, error) {
			_, err := f.effect(ctx, db, "k")
			require.NoError(t, err)
			panic("boom")
		})
	})
	f.idle()
	require.Zero(t, f.rows("k"))
	if m.atomic {
		require.Zero(t, f.effects("k"))
	}
	_, err := m.do(t.Context(), f, f.request("k"), effect(f, "k"))
	require.NoError(t, err)
}

func runsOnceUnderRace(t *testing.T, m mode, via option) {
	f := newFixture(t, via)
	runs := race(t, m, 30, f, f.peer(via), f.peer(via))
	require.EqualValues(t, 1, runs)
	require.Equal(t, 1, f.effects("k"))
}

// race sends one request n times at once, through the fixtures by turns. All must
// get the same reply, one of them as the first. It returns how often the handler
// ran.
func race(t *testing.T, m mode, n int, through ...*fixture) int64 {
	t.Helper()
	var runs, firsts atomic.Int64
	values := make([]order, n)
	var wg sync.WaitGroup
	for i := range values {
		wg.Go(func() {
			f := through[i%len(through)]
			reply, err := m.do(t.Context(), f, f.request("k"), func(ctx context.Context, db execer) (order, error) {
				runs.Add(1)
				return f.effect(ctx, db, "k")
			})
			if err != nil {
				t.Error(err)
			}
			if !reply.Replayed {
				firsts.Add(1)
			}
			values[i] = reply.Value
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, firsts.Load(), m.name)
	for _, value := range values {
		require.Equal(t, values[0], value)
	}
	return runs.Load()
}

// inFlight starts a request and returns when its handler runs. end lets the
// handler end with err, and returns when the request has.
func inFlight(t *testing.T, m mode, f *fixture, key string) (end func(err error)) {
	t.Helper()
	running, outcome, done := make(chan struct{}), make(chan error, 1), make(chan struct{})
	go func() {
		defer close(done)
		_, err := m.do(t.Context(), f, f.request(key), func(ctx context.Context, db execer) (order, error) {
			o, err := f.effect(ctx, db, key)
			close(running)
			return o, errors.Join(err, <-outcome)
		})
		if err != nil {
			t.Log("the request in flight:", err)
		}
	}()
	select {
	case <-running:
	case <-done:
		t.Error("the request in flight has ended before its handler ran")
	}
	var once sync.Once
	end = func(err error) {
		once.Do(func() {
			outcome <- err
			<-done
		})
	}
	t.Cleanup(func() { end(errors.New("the test has failed")) })
	return end
}

func waiterOwnsWhatFailed(t *testing.T, m mode, via option) {
	// In the same process, where it waits in memory, and in another.
	f := newFixture(t, via)
	for key, second := range map[string]*fixture{"same": f, "other": f.peer(via)} {
		end := inFlight(t, m, f, key)
		var reply idemtx.Reply[order]
		var err error
		done := make(chan struct{})
		ran := make(chan struct{})
		go func() {
			defer close(done)
			reply, err = m.do(t.Context(), second, second.request(key), func(ctx context.Context, db execer) (order, error) {
				close(ran)
				return second.effect(ctx, db, key)
			})
		}()
		select {
		case <-ran:
			t.Fatal("two handlers ran at once")
		default:
		}
		end(errors.New("failed"))
		<-done
		require.NoError(t, err)
		require.False(t, reply.Replayed)
		<-ran
	}
}

func waitsNoLongerThanMaxWait(t *testing.T, m mode, via option) {
	brief := withConfig(func(c *idemtx.Config) { c.MaxWait = 20 * time.Millisecond })
	f := newFixture(t, via, brief)
	end := inFlight(t, m, f, "k")
	for _, second := range []*fixture{f, f.peer(via, brief)} {
		_, err := m.do(t.Context(), second, second.request("k"), mustNotRun(t))
		require.ErrorIs(t, err, idemtx.ErrInFlight)
		var inFlight *idemtx.InFlightError
		require.ErrorAs(t, err, &inFlight)
		require.Positive(t, inFlight.RetryAfter)
	}
	end(nil)
	f.idle()
	require.Equal(t, 1, f.effects("k"))
}

func refusesWhileInFlight(t *testing.T, m mode, via option) {
	f := newFixture(t, via, withConfig(refusing))
	end := inFlight(t, m, f, "k")
	for _, second := range []*fixture{f, f.peer(via, withConfig(refusing))} {
		for _, other := range modes {
			_, err := other.do(t.Context(), second, second.request("k"), mustNotRun(t))
			require.ErrorIs(t, err, idemtx.ErrInFlight, other.name)
			_, err = other.do(t.Context(), second, second.other("k"), mustNotRun(t))
			require.ErrorIs(t, err, idemtx.ErrMismatch, other.name)
		}
	}
	end(nil)
	f.idle()
	reply, err := m.do(t.Context(), f, f.request("k"), mustNotRun(t))
	require.NoError(t, err)
	require.True(t, reply.Replayed)
}

func expiredKeyRunsAgain(t *testing.T, m mode, via option) {
	f := newFixture(t, via)
	first, err := m.do(t.Context(), f, f.request("k"), effect(f, "k"))
	require.NoError(t, err)
	f.expire("k")
	_, err = f.store.Get(t.Context(), f.scope, "k")
	require.ErrorIs(t, err, idemtx.ErrNotFound)
	// Also for another request: an expired key is one that was never used.
	second, err := m.do(t.Context(), f, f.other("k"), effect(f, "k"))
	require.NoError(t, err)
	require.False(t, second.Replayed)
	require.NotEqual(t, first.Value, second.Value)
	require.True(t, second.ExpiresAt.After(time.Now()))
	require.Equal(t, 1, f.rows("k"))
}

func expiredKeyIsRefused(t *testing.T, m mode, via option) {
	f := newFixture(t, via, withConfig(func(c *idemtx.Config) { c.OnExpired = idemtx.RefuseExpired }))
	_, err := m.do(t.Context(), f, f.request("k"), effect(f, "k"))
	require.NoError(t, err)
	f.expire("k")
	_, err = m.do(t.Context(), f, f.request("k"), mustNotRun(t))
	require.ErrorIs(t, err, idemtx.ErrExpired)
	f.idle()
	require.Equal(t, 1, f.effects("k"))
}

func replyThatCannotBeStored(t *testing.T, m mode, via option) {
	f := newFixture(t, via, withConfig(func(c *idemtx.Config) { c.MaxReplyBytes = 100 }))
	for key, note := range map[string]string{
		"nul":  "a\x00b",
		"long": string(make([]byte, 200)),
	} {
		_, err := m.do(t.Context(), f, f.request(key), func(ctx context.Context, db execer) (order, error) {
			o, err := f.effect(ctx, db, key)
			o.Note = note
			return o, err
		})
		require.ErrorIs(t, err, idemtx.ErrReplyNotStorable, key)
		require.NotContains(t, err.Error(), "a\x00b")
		if m.atomic {
			require.Zero(t, f.effects(key))
			require.Zero(t, f.rows(key))
		}
	}
	f.idle()
}

func storedReplyThatDoesNotDecode(t *testing.T, m mode, via option) {
	f := newFixture(t, via)
	r := f.request("k")
	fingerprint, err := idemtx.FingerprintOf(r.Operation, r.Payload)
	require.NoError(t, err)
	stored, err := f.store.Put(t.Context(), f.scope, "k", idemtx.Entry{
		Fingerprint: fingerprint, Response: []byte(`{"number": "secret"}`),
	})
	require.NoError(t, err)
	require.True(t, stored)
	_, err = m.do(t.Context(), f, r, mustNotRun(t))
	require.ErrorContains(t, err, "does not decode")
	require.NotContains(t, err.Error(), "secret")
	f.idle()
}

func cancelledBeforehandRunsNothing(t *testing.T, m mode, via option) {
	f := newFixture(t, via)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := m.do(ctx, f, f.request("k"), mustNotRun(t))
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, f.rows("k"))
	f.idle()
}

func cancelledHandlerLeavesNothing(t *testing.T, m mode, via option) {
	f := newFixture(t, via)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := m.do(ctx, f, f.request("k"), func(ctx context.Context, db execer) (order, error) {
		if _, err := f.effect(ctx, db, "k"); err != nil {
			return order{}, err
		}
		cancel()
		return order{}, ctx.Err()
	})
	require.ErrorIs(t, err, context.Canceled)
	f.idle()
	require.Zero(t, f.rows("k"))
	if m.atomic {
		require.Zero(t, f.effects("k"))
	}
}

// A reply that a trigger swallows must not let the work be committed without it,
// nor be taken for one that found its key taken, and run again.
func TestSwallowedReplyUndoesTheWork(t *testing.T) {
	t.Parallel()
	for _, m := range modes {
		if !m.atomic {
			continue
		}
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			exec(t, "CREATE FUNCTION "+f.schema+".swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
			exec(t, "CREATE TRIGGER swallow BEFORE INSERT ON "+f.table()+" FOR EACH ROW EXECUTE FUNCTION "+f.schema+".swallow()")
			runs := 0
			_, err := m.do(t.Context(), f, f.request("k"), func(ctx context.Context, db execer) (order, error) {
				runs++
				return f.effect(ctx, db, "k")
			})
			require.ErrorIs(t, err, idemtx.ErrReplyNotStorable)
			require.ErrorContains(t, err, "trigger")
			require.Equal(t, 1, runs)
			require.Zero(t, f.effects("k"))
			f.idle()
		})
	}
}
