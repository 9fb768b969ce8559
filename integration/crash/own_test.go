package crash

import (
	"context"
	"net"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/internal/pgwire"
)

// caller is the process whose call a trial is about.
type caller interface {
	// arrived receives the backend of the call when that is held at its point.
	arrived() <-chan uint32
	// goOn ends the hold.
	goOn(pgwire.Fate)
	// told receives what the call has come to.
	told() <-chan answer
}

// own is this process as the caller.
type own struct {
	*client
	at   chan uint32
	fate chan pgwire.Fate
	end  chan answer

	near  chan struct{} // is closed when the call may come to its point
	past  chan struct{} // is closed when the point is behind
	leave func()        // the caller gives up
}

func (o *own) arrived() <-chan uint32 { return o.at }
func (o *own) goOn(f pgwire.Fate)     { o.fate <- f }
func (o *own) told() <-chan answer    { return o.end }

// ask begins a call that will be held at the trial's point.
func (x *trial) ask(t *testing.T) *own {
	t.Helper()
	o := &own{
		at: make(chan uint32, 1), fate: make(chan pgwire.Fate, 1), end: make(chan answer, 1),
		near: make(chan struct{}), past: make(chan struct{}),
	}
	ctx, leave := context.WithCancel(context.WithoutCancel(t.Context()))
	o.leave = leave
	guide := &guide{point: x.point, watch: x.watch, hold: func(backend uint32) pgwire.Fate {
		o.at <- backend
		select {
		case fate := <-o.fate:
			return fate
		case <-ctx.Done(): // the test has failed
			return pgwire.Drop
		}
	}}
	pool := o.open(t, x, guide)
	x.life.Cleanup(leave) // before the pool is closed
	x.life.Cleanup(x.outage.end)
	w := x.point.of()
	var err error
	o.client, err = newClient(pool, x.schema, x.key, w)
	require.NoError(t, err)
	require.NoError(t, o.prepare(ctx, w))
	guide.armed.Store(true)
	go func() {
		o.end <- o.call(ctx, w.mode, 0, handler{label: "call", ends: w.ends, worked: o.rest(ctx, x)})
	}()
	return o
}

// open makes the pool of the call. A caller who does not wait for a server gives up
// when there is none to connect to.
func (o *own) open(t *testing.T, x *trial, g *guide) *pgxpool.Pool {
	t.Helper()
	config := poolConfig(x.host.url, x.key)
	pgwire.Inject(&config.ConnConfig.Config, g.judge)
	dial := config.ConnConfig.DialFunc
	config.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		x.outage.wait(ctx)
		conn, err := dial(ctx, network, address)
		if err != nil {
			if x.death == serverAway {
				o.leave()
			}
			return nil, err
		}
		return x.outage.over(x.post.over(conn)), nil
	}
	pool, err := pgxpool.NewWithConfig(x.life.Context(), config)
	require.NoError(t, err)
	x.life.Cleanup(pool.Close)
	return pool
}

// rest is where a handler waits when its work is done, or nil: for the renewal of
// its lease, or until its turn has come to hurry.
func (o *own) rest(ctx context.Context, x *trial) func() {
	until := o.near
	switch {
	case x.point.of().lease:
		until = o.past
	case x.haste() != hurried:
		return nil
	}
	return func() {
		select {
		case <-until:
		case <-ctx.Done():
		}
	}
}
