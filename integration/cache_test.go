package integration

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemcache"
	"github.com/idemtx/idemtx/idemtx"
)

func withCache(cache idemtx.Cache) option {
	return withConfig(func(c *idemtx.Config) { c.Cache = cache })
}

func newCache(tb testing.TB, config idemcache.Config) *idemcache.Cache {
	tb.Helper()
	cache, err := idemcache.New(config)
	require.NoError(tb, err)
	tb.Cleanup(cache.Close)
	return cache
}

// ledger is a cache that counts what it is asked and told, and forgets when it is
// told to.
type ledger struct {
	mu         sync.Mutex
	values     map[uint64]any
	gets, sets int
}

func (l *ledger) Get(key uint64) (any, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gets++
	value, ok := l.values[key]
	return value, ok
}

func (l *ledger) Set(key uint64, value any, _ int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sets++
	if l.values == nil {
		l.values = make(map[uint64]any)
	}
	l.values[key] = value
}

func (l *ledger) counts() (gets, sets int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.gets, l.sets
}

func (l *ledger) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.values = nil
}

// atOnce is DoBatch among the modes. The work it sends is the fixture's and not its
// handler.
var atOnce = mode{idemtx.ModeDoBatch, true, func(ctx context.Context, f *fixture, r idemtx.Request, _ work) (idemtx.Reply[order], error) {
	b := &pgx.Batch{}
	b.Queue("INSERT INTO "+f.schema+".effects (key) VALUES ($1) RETURNING id AS number", r.Key)
	return idemtx.DoBatch[order](ctx, f.store, r, b)
}}

// remembering are the modes that use the cache, and familiar keys.
var remembering = []mode{modes[0], atOnce, modes[2]}

// requireReplay requires that the request is answered with reply.
func requireReplay(t *testing.T, m mode, f *fixture, r idemtx.Request, reply idemtx.Reply[order]) {
	t.Helper()
	again, err := m.do(t.Context(), f, r, mustNotRun(t))
	require.NoError(t, err)
	require.True(t, again.Replayed)
	require.Equal(t, reply.Value, again.Value)
	require.Equal(t, reply.Refused, again.Refused)
	require.True(t, reply.CreatedAt.Equal(again.CreatedAt) && reply.ExpiresAt.Equal(again.ExpiresAt))
}

// Whichever mode has answered, each of them replays without the server.
func TestCachedReplayNeedsNoServer(t *testing.T) {
	t.Parallel()
	for _, m := range remembering {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			wire := newProxy(t)
			f := newFixture(t, through(wire), withCache(newCache(t, idemcache.Config{})))
			reply, err := m.do(t.Context(), f, f.request("k"), effect(f, "k"))
			require.NoError(t, err)
			require.False(t, reply.Replayed)
			// What another process has answered is as good, once it was looked at.
			peer := f.peer(through(wire), withCache(newCache(t, idemcache.Config{})))
			requireReplay(t, m, peer, f.request("k"), reply)
			f.idle()
			require.Empty(t, wire.during(func() {
				for _, again := range remembering {
					requireReplay(t, again, f, f.request("k"), reply)
					requireReplay(t, again, peer, f.request("k"), reply)
				}
			}))
			f.pool.Close()
			peer.pool.Close()
			for _, again := range remembering {
				requireReplay(t, again, f, f.request("k"), reply)
				requireReplay(t, again, peer, f.request("k"), reply)
			}
			require.Equal(t, 1, f.effects("k"))
		})
	}
}

// Whether a key is used for something else is for the database to say.
func TestCachedKeyForAnotherRequest(t *testing.T) {
	t.Parallel()
	for _, m := range remembering {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			wire := newProxy(t)
			f := newFixture(t, through(wire), withCache(newCache(t, idemcache.Config{})))
			reply, err := m.do(t.Context(), f, f.request("k"), effect(f, "k"))
			require.NoError(t, err)
			operation := f.request("k")
			operation.Operation = "POST /refunds"
			for _, other := range []idemtx.Request{f.other("k"), operation} {
				trips := wire.during(func() {
					_, err := m.do(t.Context(), f, other, mustNotRun(t))
					require.ErrorIs(t, err, idemtx.ErrMismatch)
				})
				require.NotEmpty(t, trips)
			}
			require.Empty(t, wire.during(func() { requireReplay(t, m, f, f.request("k"), reply) }))

			// It may be something else's by now.
			f.expire("k")
			second, err := m.do(t.Context(), f, f.other("k"), effect(f, "k"))
			require.NoError(t, err)
			require.False(t, second.Replayed)
			require.Empty(t, wire.during(func() { requireReplay(t, m, f, f.other("k"), second) }))
			_, err = m.do(t.Context(), f, f.request("k"), mustNotRun(t))
			require.ErrorIs(t, err, idemtx.ErrMismatch)
			require.Equal(t, 2, f.effects("k"))
		})
	}
}

// A failure is forgotten; a refusal is a reply.
func TestWhatACacheIsTold(t *testing.T) {
	t.Parallel()
	for _, m := range []mode{modes[0], modes[2]} {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			told, wire := new(ledger), newProxy(t)
			f := newFixture(t, through(wire), withCache(told))
			broken := errors.New("broken")
			_, err := m.do(t.Context(), f, f.request("k"), func(context.Context, execer) (order, error) {
				return order{}, broken
			})
			require.ErrorIs(t, err, broken)
			_, sets := told.counts()
			require.Zero(t, sets)

			reply, err := m.do(t.Context(), f, f.request("k"), func(context.Context, execer) (order, error) {
				return order{Note: "sold out"}, idemtx.ErrRefused
			})
			require.NoError(t, err)
			require.True(t, reply.Refused)
			f.idle()
			require.Empty(t, wire.during(func() { requireReplay(t, m, f, f.request("k"), reply) }))
			_, sets = told.counts()
			require.Equal(t, 1, sets)
		})
	}
}

// Nobody knows whether the reply is stored, and so the cache does not.
func TestUnknownOutcomeIsNotCached(t *testing.T) {
	t.Parallel()
	told, wire := new(ledger), newProxy(t)
	f := newFixture(t, through(wire), withCache(told))
	judge, d := delay(t, (*trip).commits)
	wire.meet(judge)
	ctx, cancel := context.WithCancel(t.Context())
	call := launch(ctx, modes[0], f, f.request("k"), effect(f, "k"))
	<-d.met
	cancel()
	call.ends(t)
	require.ErrorIs(t, call.err, idemtx.ErrOutcomeUnknown)
	_, sets := told.counts()
	require.Zero(t, sets)
	d.release(drop)
	reply, err := modes[0].do(t.Context(), f, f.request("k"), effect(f, "k"))
	require.NoError(t, err)
	require.False(t, reply.Replayed)
	requireOnce(f, "k", reply)
}

// DoPool returns the reply that it could not store.
func TestUnsavedReplyIsNotCached(t *testing.T) {
	t.Parallel()
	told, wire := new(ledger), newProxy(t)
	f := newFixture(t, through(wire), withCache(told), withConfig(refusing))
	wire.meet(func(trip *trip) fate {
		if trip.has("AS kept SET") {
			return drop
		}
		return deliver
	})
	reply, err := modes[2].do(t.Context(), f, f.request("k"), effect(f, "k"))
	require.ErrorIs(t, err, idemtx.ErrOutcomeUnknown)
	require.NotZero(t, reply.Value.Number)
	_, sets := told.counts()
	require.Zero(t, sets)
	_, err = modes[2].do(t.Context(), f, f.request("k"), mustNotRun(t))
	require.ErrorIs(t, err, idemtx.ErrInFlight)
}

// The caller's transaction may have written the row, and may undo it.
func TestDoTxDoesNotUseTheCache(t *testing.T) {
	t.Parallel()
	told := new(ledger)
	f := newFixture(t, withCache(told))
	tx := transaction(f)
	_, err := idemtx.DoTx(t.Context(), f.store, tx, f.request("k"), f.handler("k"))
	require.NoError(t, err)
	again, err := idemtx.DoTx(t.Context(), f.store, tx, f.request("k"), f.handler("k"))
	require.NoError(t, err)
	require.True(t, again.Replayed)
	require.NoError(t, tx.Rollback(t.Context()))
	gets, sets := told.counts()
	require.Zero(t, gets+sets)

	reply, err := idemtx.Do(t.Context(), f.store, f.request("k"), f.handler("k"))
	require.NoError(t, err)
	require.False(t, reply.Replayed)
	gets, sets = told.counts()
	requireReplay(t, modes[1], f, f.request("k"), reply)
	getsLater, setsLater := told.counts()
	require.Equal(t, [2]int{gets, sets}, [2]int{getsLater, setsLater})
}

// toldOf passes on how each call ended.
type toldOf struct {
	atomic.Pointer[idemtx.TraceEndData]
}

func (*toldOf) TraceStart(ctx context.Context, _ idemtx.TraceStartData) context.Context { return ctx }

func (o *toldOf) TraceEnd(_ context.Context, data idemtx.TraceEndData) { o.Store(&data) }

func TestCachedReplayIsTraced(t *testing.T) {
	t.Parallel()
	for _, m := range remembering {
		end := new(toldOf)
		f := newFixture(t, withCache(new(ledger)), withConfig(func(c *idemtx.Config) { c.Tracer = end }))
		reply, err := m.do(t.Context(), f, f.request("k"), effect(f, "k"))
		require.NoError(t, err)
		require.Equal(t, idemtx.OutcomeFirst, end.Load().Outcome)
		require.Equal(t, 1, end.Load().Attempts)
		f.pool.Close()
		requireReplay(t, m, f, f.request("k"), reply)
		require.Equal(t, idemtx.TraceEndData{Outcome: idemtx.OutcomeReplayed}, *end.Load())
	}
}
