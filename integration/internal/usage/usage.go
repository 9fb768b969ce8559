// Package usage counts the connections that tests use for a key.
package usage

import (
	"context"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/idemtx/idemtx/idemtx"
)

// Tracer is one of a pool and its store. It counts the calls that have begun, and
// the connections that are used for a key.
type Tracer struct {
	mu    sync.Mutex
	calls int
	taken map[string]int // connections, since the beginning
	now   map[string]int
	most  map[string]int
	key   map[*pgx.Conn]string
}

// New returns a tracer that has seen nothing.
func New() *Tracer {
	return &Tracer{
		taken: make(map[string]int), now: make(map[string]int), most: make(map[string]int),
		key: make(map[*pgx.Conn]string),
	}
}

// Trace has u trace the pool and the store of these configurations.
func (u *Tracer) Trace(p *pgxpool.Config, c *idemtx.Config) { p.ConnConfig.Tracer, c.Tracer = u, u }

// keyOf is where a context holds the key that a connection is acquired for.
type keyOf struct{}

// For returns a context in which connections are acquired for a key.
func For(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, keyOf{}, key)
}

// TraceStart is idemtx.Tracer's.
func (u *Tracer) TraceStart(ctx context.Context, _ idemtx.TraceStartData) context.Context {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.calls++
	return ctx
}

// TraceEnd is idemtx.Tracer's.
func (*Tracer) TraceEnd(context.Context, idemtx.TraceEndData) {}

// TraceQueryStart is pgx.QueryTracer's.
func (*Tracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

// TraceQueryEnd is pgx.QueryTracer's.
func (*Tracer) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// TraceAcquireStart is pgxpool.AcquireTracer's.
func (*Tracer) TraceAcquireStart(ctx context.Context, _ *pgxpool.Pool, _ pgxpool.TraceAcquireStartData) context.Context {
	return ctx
}

// TraceAcquireEnd is pgxpool.AcquireTracer's.
func (u *Tracer) TraceAcquireEnd(ctx context.Context, _ *pgxpool.Pool, data pgxpool.TraceAcquireEndData) {
	if data.Err != nil {
		return
	}
	key, _ := ctx.Value(keyOf{}).(string)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.key[data.Conn] = key
	u.taken[key]++
	u.now[key]++
	u.most[key] = max(u.most[key], u.now[key])
}

// TraceRelease is pgxpool.ReleaseTracer's.
func (u *Tracer) TraceRelease(_ *pgxpool.Pool, data pgxpool.TraceReleaseData) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.now[u.key[data.Conn]]--
	delete(u.key, data.Conn)
}

// Begun returns how many calls have begun.
func (u *Tracer) Begun() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.calls
}

// Used returns how many connections have been taken for a key, and how many were at
// the same time.
func (u *Tracer) Used(key string) (taken, most int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.taken[key], u.most[key]
}
