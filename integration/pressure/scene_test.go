package pressure

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/internal/pgwire"
)

// scene is a call whose context ends, and the next one with its key, which waits
// behind it.
type scene struct {
	*process // of both
	other    *process
	t        *testing.T
	mode     mode
	key      string

	ctx   context.Context
	end   func()
	ended error // what ctx says then

	call, next *ongoing
	nextRuns   chan struct{}

	judge       atomic.Pointer[func(*pgwire.Trip) pgwire.Fate] // of the process's connections
	unreachable atomic.Bool                                    // no new connection can be made
	refused     atomic.Int32                                   // connections, for that
}

var (
	errFailed      = errors.New("the handler has failed")
	errUnreachable = errors.New("the network is down")
)

func newScene(t *testing.T, d *database, m mode, e ending) *scene {
	t.Helper()
	d = d.of(t)
	s := &scene{t: t, mode: m, key: rand.Text(), ended: e.err, nextRuns: make(chan struct{})}
	s.ctx, s.end = e.begin(t)
	s.process = d.process(s.key, s.withFaults)
	return s
}

// peer is another process of the service.
func (s *scene) peer() *process {
	s.t.Helper()
	if s.other == nil {
		s.other = s.database.process(s.key + " peer")
	}
	return s.other
}

func (s *scene) withFaults(p *pgxpool.Config, _ *idemtx.Config) {
	pgwire.Inject(&p.ConnConfig.Config, func(trip *pgwire.Trip) pgwire.Fate {
		if judge := s.judge.Load(); judge != nil {
			return (*judge)(trip)
		}
		return pgwire.Deliver
	})
	dial := p.ConnConfig.DialFunc
	p.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		if s.unreachable.Load() {
			s.refused.Add(1)
			return nil, errUnreachable
		}
		return dial(ctx, network, address)
	}
}

// meet lets judge decide on the first trip that it is meant for.
func (s *scene) meet(meant func(*pgwire.Trip) bool, judge func(*pgwire.Trip) pgwire.Fate) {
	var met atomic.Bool
	both := func(trip *pgwire.Trip) pgwire.Fate {
		if meant(trip) && met.CompareAndSwap(false, true) {
			return judge(trip)
		}
		return pgwire.Deliver
	}
	s.judge.Store(&both)
}

// begin makes the call.
func (s *scene) begin(fn work) { s.call = s.launch(s.ctx, s.mode, s.key, fn) }

// follow makes the next call and returns when it waits behind the first: in memory
// or, where there is no line, as the nth backend that waits in PostgreSQL.
func (s *scene) follow(n int) {
	s.t.Helper()
	ctx := notice(foreign(s.t))
	s.next = s.launch(ctx, s.mode, s.key, func(ctx context.Context, db querier) (order, error) {
		close(s.nextRuns)
		return effect(ctx, db, s.schema, s.key)
	})
	if s.mode.name != idemtx.ModeDoTx {
		receive(s.t, "the next one waits in line", ctx.seen)
		return
	}
	s.blocked(s.application, n)
}

// told waits for the end of the call, of which its caller is told err.
func (s *scene) told(err error) {
	s.t.Helper()
	s.call.ends()
	if err == nil {
		require.NoError(s.t, s.call.err)
		require.False(s.t, s.call.reply.Replayed)
		return
	}
	require.ErrorIs(s.t, s.call.err, err)
	require.Zero(s.t, s.call.reply)
}

// nextRan makes sure that the handler of the next call has run.
func (s *scene) nextRan() {
	s.t.Helper()
	receive(s.t, "the next one's handler runs", s.nextRuns)
	s.next.ends()
	require.NoError(s.t, s.next.err)
	require.False(s.t, s.next.reply.Replayed)
}

// nextReplays makes sure that the next call gets the reply of another.
func (s *scene) nextReplays(first idemtx.Reply[order]) {
	s.t.Helper()
	s.next.ends()
	require.NoError(s.t, s.next.err)
	require.True(s.t, s.next.reply.Replayed)
	require.Equal(s.t, first.Value, s.next.reply.Value)
}

func (s *scene) work(ctx context.Context, db querier) (order, error) {
	return effect(ctx, db, s.schema, s.key)
}

func (s *scene) mustNotRun(context.Context, querier) (order, error) {
	s.t.Error("the handler ran")
	return order{}, nil
}

// holder is a call whose handler runs until it is let go.
type holder struct {
	*ongoing
	letGo chan struct{}
}

func (s *scene) hold(p *process, m mode) *holder {
	s.t.Helper()
	h := &holder{letGo: make(chan struct{})}
	running := make(chan struct{})
	h.ongoing = p.launch(s.t.Context(), m, s.key, func(ctx context.Context, db querier) (order, error) {
		close(running)
		await(s.t, h.letGo)
		return s.work(ctx, db)
	})
	receive(s.t, "the holder runs", running)
	return h
}

// finish lets the handler go, and returns the reply.
func (h *holder) finish() idemtx.Reply[order] {
	h.tb.Helper()
	close(h.letGo)
	h.ends()
	require.NoError(h.tb, h.err)
	return h.reply
}

// over makes sure that nothing is left of the scene but one reply.
func (s *scene) over() {
	s.t.Helper()
	for _, p := range []*process{s.process, s.other} {
		if p != nil {
			p.idle()
			p.pool.Close()
		}
	}
	require.Equal(s.t, 1, s.rows(s.key))
}
