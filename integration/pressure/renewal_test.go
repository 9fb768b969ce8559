package pressure

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// TestRenewalsUnderPressure is about handlers of pool mode that leave few or no
// connections to the renewals of their leases. They run beside each other.
func TestRenewalsUnderPressure(t *testing.T) {
	d := newDatabase(t)
	left := leaks(t)
	t.Run("pools", func(t *testing.T) {
		t.Run("statements", func(t *testing.T) { t.Parallel(); renewalsBetweenStatements(t, d.of(t)) })
		t.Run("one is left", func(t *testing.T) { t.Parallel(); renewalsOnTheLastConnection(t, d.of(t)) })
		t.Run("none is left", func(t *testing.T) { t.Parallel(); noConnectionForRenewals(t, d.of(t)) })
	})
	left()
}

// renewed waits until the claims on the keys hold, although the leases they began
// with are over.
func (d *database) renewed(keys []string, first time.Time) {
	d.tb.Helper()
	until(d.tb, "the leases are renewed", func() bool {
		return ask[int](d, "SELECT count(*) FROM "+d.schema+".idemtx_replies WHERE key = ANY ($1) "+
			"AND clock_timestamp() > $2 AND lease_until > clock_timestamp()", keys, first) == len(keys)
	})
}

// lastLease is when the last lease on the keys ends, all of which are claimed.
func (d *database) lastLease(keys []string) time.Time {
	d.tb.Helper()
	until(d.tb, "the keys are claimed", func() bool {
		return ask[int](d, "SELECT count(*) FROM "+d.schema+".idemtx_replies WHERE key = ANY ($1)", keys) == len(keys)
	})
	return ask[time.Time](d, "SELECT max(lease_until) FROM "+d.schema+".idemtx_replies WHERE key = ANY ($1)", keys)
}

// renewalsBetweenStatements: ten handlers that write on two connections as fast as
// they can are no obstacle, because those who wait for a connection get it in their
// order.
func renewalsBetweenStatements(t *testing.T, d *database) {
	t.Helper()
	p := d.process("statements", withMaxConns(2), withLease(time.Second))
	var keys []string
	var calls []*ongoing
	enough := make(chan struct{})
	for i := range 10 {
		key := "statement " + strconv.Itoa(i)
		keys = append(keys, key)
		calls = append(calls, p.launch(t.Context(), modeDoPool, key, func(ctx context.Context, db querier) (order, error) {
			for {
				if _, err := effect(ctx, db, d.schema, "many "+key); err != nil {
					return order{}, err
				}
				select {
				case <-enough:
					return effect(ctx, db, d.schema, key)
				case <-ctx.Done():
					return order{}, context.Cause(ctx)
				default:
				}
			}
		}))
	}
	d.renewed(keys, d.lastLease(keys))
	close(enough)
	for i, call := range calls {
		call.ends()
		require.NoError(t, call.err)
		require.Equal(t, 1, d.effects(keys[i]))
	}
	p.idle()
	p.pool.Close()
}

// borrowers are handlers that hold a connection each until they are let go.
type borrowers struct {
	keys  []string
	calls []*ongoing
	ctx   []context.Context // of the handlers

	giveBack, goOn chan struct{}
}

func (p *process) borrow(name string, n int) *borrowers {
	p.tb.Helper()
	b := &borrowers{ctx: make([]context.Context, n), giveBack: make(chan struct{}), goOn: make(chan struct{})}
	var holding sync.WaitGroup
	holding.Add(n)
	// All have their claims before the first of them takes a connection.
	for i := range n {
		key := name + " " + strconv.Itoa(i)
		b.keys = append(b.keys, key)
		b.calls = append(b.calls, p.launch(p.tb.Context(), modeDoPool, key, func(ctx context.Context, db querier) (o order, err error) {
			b.ctx[i] = ctx
			holding.Done()
			holding.Wait()
			ctx = context.WithoutCancel(ctx) // it goes on, come what may
			err = pgx.BeginFunc(ctx, db.(*pgxpool.Pool), func(tx pgx.Tx) error {
				o, err = effect(ctx, tx, p.schema, key)
				await(p.tb, b.giveBack)
				return err
			})
			await(p.tb, b.goOn)
			return o, err
		}))
	}
	until(p.tb, "each has its connection", func() bool {
		return ask[int](p.database, "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 "+
			"AND state = 'idle in transaction'", p.application) == n
	})
	holding.Wait()
	return b
}

// renewalsOnTheLastConnection: one connection that no handler holds is enough for
// the renewals of all.
func renewalsOnTheLastConnection(t *testing.T, d *database) {
	t.Helper()
	p := d.process("one is left", withMaxConns(4), withLease(time.Second))
	b := p.borrow("one is left", 3)
	d.renewed(b.keys, d.lastLease(b.keys))
	close(b.giveBack)
	close(b.goOn)
	for i, call := range b.calls {
		call.ends()
		require.NoError(t, call.err)
		require.Equal(t, 1, d.effects(b.keys[i]))
	}
	p.idle()
	p.pool.Close()
}

// noConnectionForRenewals: handlers that hold all connections of their pool for
// longer than a lease lose their keys to another process, however well they are
// connected. They hear of it in the log, and as soon as there is a connection to
// find out with. The reply that is kept is the other's.
func noConnectionForRenewals(t *testing.T, d *database) {
	t.Helper()
	warned := make(chan string, 100)
	p := d.process("none is left", withMaxConns(2), withLease(time.Second), func(_ *pgxpool.Config, c *idemtx.Config) {
		c.Logger = slog.New(&messages{Handler: slog.DiscardHandler, to: warned})
	})
	b := p.borrow("none is left", 2)
	require.Contains(t, receive(t, "a renewal fails", warned), "not renewed")

	other := d.process("takes over")
	for i, key := range b.keys {
		reply, err := modeDoPool.do(t.Context(), other, request(key), func(ctx context.Context, db querier) (order, error) {
			return effect(ctx, db, d.schema, key)
		})
		require.NoError(t, err)
		require.False(t, reply.Replayed)
		require.NoError(t, b.ctx[i].Err(), "nothing can be found out yet")
	}
	close(b.giveBack)
	for _, ctx := range b.ctx {
		receive(t, "the handler's context ends", ctx.Done())
		require.ErrorContains(t, context.Cause(ctx), "lease")
	}
	close(b.goOn)
	for i, call := range b.calls {
		call.ends()
		require.ErrorIs(t, call.err, idemtx.ErrOutcomeUnknown)
		require.Equal(t, 2, d.effects(b.keys[i]), "which is what this mode cannot prevent")
		kept, err := modeDoPool.do(t.Context(), other, request(b.keys[i]), nil)
		require.NoError(t, err)
		require.NotEqual(t, call.reply.Value, kept.Value)
	}
	p.idle()
	other.idle()
	p.pool.Close()
	other.pool.Close()
}

// messages sends what is logged to a channel.
type messages struct {
	slog.Handler
	to chan<- string
}

func (*messages) Enabled(context.Context, slog.Level) bool { return true }

func (m *messages) Handle(_ context.Context, r slog.Record) error {
	select {
	case m.to <- r.Message:
	default: // nobody reads them all
	}
	return nil
}
