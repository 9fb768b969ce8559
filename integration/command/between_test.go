package command

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemadmin"
	"github.com/idemtx/idemtx/idemtx"
)

// between lets something happen behind the first question for a lock.
type between struct {
	once sync.Once
	then func()
}

type isLockQuestion struct{}

func (b *between) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	return context.WithValue(ctx, isLockQuestion{}, strings.Contains(data.SQL, "pg_locks"))
}

func (b *between) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryEndData) {
	if ctx.Value(isLockQuestion{}) == true {
		b.once.Do(b.then)
	}
}

// between opens a store for an operator.
func (f *fixture) between(then func()) *idemtx.Store {
	f.t.Helper()
	_, s := f.open(func(p *pgxpool.Config, _ *idemtx.Config) { p.ConnConfig.Tracer = &between{then: then} })
	return s
}

// A call that commits while it is looked for is in flight or answered, and never
// absent: whoever is told so sends the request under another key.
func TestLookMeetsACommit(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	call := f.flyDo(f.store, key)
	is, err := idemadmin.Look(t.Context(), f.between(func() { require.NoError(t, call.land()) }), f.scope, key)
	require.NoError(t, err)
	require.Equal(t, idemadmin.StateAnswered, is.State)
}

// A claim that is made while a dead row is being forgotten is somebody's who is at
// work.
func TestForgetMeetsAClaim(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.claim(key, "-1 minute")
	var call flight
	deleted, err := idemadmin.Forget(t.Context(), f.between(func() { call = f.flyPool(key) }), f.scope, key)
	require.ErrorIs(t, err, idemtx.ErrInFlight)
	require.False(t, deleted)
	require.NoError(t, call.land())
	require.Equal(t, idemadmin.StateAnswered, f.look(key, 0).State)
}

// A request that begins while its expired row is being forgotten stores its reply as
// if nothing were.
func TestForgetMeetsARequest(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.stored(key)
	f.age(key, "25 hours")
	var call flight
	deleted, err := idemadmin.Forget(t.Context(), f.between(func() { call = f.flyDo(f.store, key) }), f.scope, key)
	require.NoError(t, err)
	require.True(t, deleted)
	require.NoError(t, call.land())
	require.Equal(t, idemadmin.StateAnswered, f.look(key, 0).State)
}

// A request that begins and ends between the look at the lock and the deletion keeps
// its reply: its work is done.
func TestForgetLeavesWhatIsWrittenMeanwhile(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.stored(key)
	f.age(key, "25 hours")
	deleted, err := idemadmin.Forget(t.Context(), f.between(func() { f.stored(key) }), f.scope, key)
	require.NoError(t, err)
	require.False(t, deleted)
	require.Equal(t, idemadmin.StateAnswered, f.look(key, 0).State)
}
