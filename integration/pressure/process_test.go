package pressure

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/idemtx/idemtx/idemtx"
)

// process is a store with a pool of its own: what a process of the service has.
type process struct {
	*database
	application string
	pool        *pgxpool.Pool
	store       *idemtx.Store
}

// option changes what a process is made of.
type option func(*pgxpool.Config, *idemtx.Config)

func withMaxConns(n int32) option {
	return func(p *pgxpool.Config, _ *idemtx.Config) { p.MaxConns = n }
}

func withLease(d time.Duration) option {
	return func(_ *pgxpool.Config, c *idemtx.Config) { c.Lease = d }
}

func (d *database) process(application string, options ...option) *process {
	d.tb.Helper()
	p, err := newProcess(server.URL, d.schema, application, options...)
	require.NoError(d.tb, err)
	p.database = d
	d.tb.Cleanup(func() {
		if d.tb.Failed() { // and may have lost a connection, for which Close would wait
			go p.pool.Close()
			return
		}
		p.pool.Close()
	})
	return p
}

// newProcess has no test, as in a child. Its calls wait for as long as the test
// may take.
func newProcess(url, schema, application string, options ...option) (*process, error) {
	pool, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	pool.MaxConns = 4
	pool.ConnConfig.RuntimeParams["application_name"] = application
	config := idemtx.Config{Schema: schema, MaxWait: 5 * time.Minute, Lease: time.Hour}
	for _, change := range options {
		change(pool, &config)
	}
	p := &process{database: &database{schema: schema}, application: application}
	if p.pool, err = pgxpool.NewWithConfig(context.Background(), pool); err != nil {
		return nil, err
	}
	p.store, err = idemtx.New(p.pool, config)
	return p, err
}

// idle waits until nothing is left of the calls of a process: a replay answers
// before it has given its connection back, and the server needs a moment to see
// that a connection is gone.
func (p *process) idle() {
	p.tb.Helper()
	until(p.tb, "the pool has all its connections", func() bool { return p.pool.Stat().AcquiredConns() == 0 })
	until(p.tb, "no transaction and no lock are left", func() bool { return p.left(p.application) == 0 })
}

// takeAll takes all connections of the pool, and returns what gives them back.
func (p *process) takeAll() (giveBack func()) {
	p.tb.Helper()
	var taken []*pgxpool.Conn
	for range p.pool.Config().MaxConns {
		conn, err := p.pool.Acquire(p.tb.Context())
		require.NoError(p.tb, err)
		taken = append(taken, conn)
	}
	return func() {
		for _, conn := range taken {
			conn.Release()
		}
	}
}

// leaks returns a check that no goroutine is left that was not there before. Those
// with which pgx closes a connection have 15 seconds.
func leaks(tb testing.TB) func() {
	tb.Helper()
	before := goleak.IgnoreCurrent()
	// A write that takes long has pgx read meanwhile. That goes on, on a connection
	// that is back in its pool, until the next answer comes.
	const reads = "github.com/jackc/pgx/v5/pgconn/internal/bgreader.(*BGReader).bgRead"
	return func() {
		tb.Helper()
		var err error
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
			if err = goleak.Find(before, goleak.IgnoreAnyFunction(reads)); err == nil {
				return
			}
		}
		require.NoError(tb, err)
	}
}

// goroutinesIn counts those that are in a function.
func goroutinesIn(function string) int {
	stacks := make([]byte, 1<<20)
	for {
		n := runtime.Stack(stacks, true)
		if n < len(stacks) {
			stacks = stacks[:n]
			break
		}
		stacks = make([]byte, 2*len(stacks))
	}
	count := 0
	for stack := range strings.SplitSeq(string(stacks), "\n\n") {
		if strings.Contains(stack, function+"(") {
			count++
		}
	}
	return count
}

// work is a handler, which works on what its mode gives it to work on.
type work func(ctx context.Context, db querier) (order, error)

// mode is one of the ways in.
type mode struct {
	name   idemtx.Mode
	atomic bool // what a failed handler has written is undone
	do     func(ctx context.Context, p *process, r idemtx.Request, fn work) (idemtx.Reply[order], error)
}

var (
	modeDo = mode{idemtx.ModeDo, true, func(ctx context.Context, p *process, r idemtx.Request, fn work) (idemtx.Reply[order], error) {
		return idemtx.Do(ctx, p.store, r, func(ctx context.Context, tx pgx.Tx) (order, error) { return fn(ctx, tx) })
	}}
	modeDoTx = mode{idemtx.ModeDoTx, true, func(ctx context.Context, p *process, r idemtx.Request, fn work) (idemtx.Reply[order], error) {
		tx, err := p.pool.Begin(ctx)
		if err != nil {
			return idemtx.Reply[order]{}, err
		}
		defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
		reply, err := idemtx.DoTx(ctx, p.store, tx, r, func(ctx context.Context, tx pgx.Tx) (order, error) { return fn(ctx, tx) })
		if ctx.Err() != nil {
			return reply, err
		}
		return reply, errors.Join(err, tx.Commit(ctx))
	}}
	modeDoPool = mode{idemtx.ModeDoPool, false, func(ctx context.Context, p *process, r idemtx.Request, fn work) (idemtx.Reply[order], error) {
		return idemtx.DoPool(ctx, p.store, r, func(ctx context.Context) (order, error) { return fn(ctx, p.pool) })
	}}

	modes = []mode{modeDo, modeDoTx, modeDoPool} // that run a handler
)

// ongoing is a call that is under way.
type ongoing struct {
	tb    testing.TB
	reply idemtx.Reply[order]
	err   error
	done  chan struct{}
}

func (p *process) launch(ctx context.Context, m mode, key string, fn work) *ongoing {
	o := &ongoing{tb: p.tb, done: make(chan struct{})}
	go func() {
		defer close(o.done)
		o.reply, o.err = m.do(ctx, p, request(key), fn)
	}()
	return o
}

// ends waits until the call has ended.
func (o *ongoing) ends() {
	o.tb.Helper()
	receive(o.tb, "the call ends", o.done)
}

func (o *ongoing) hasEnded() bool {
	select {
	case <-o.done:
		return true
	default:
		return false
	}
}
