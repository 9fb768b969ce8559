package pressure

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// closing closes the pool from another goroutine. When it returns, the pool gives
// out no connection any more.
func (p *process) closing() (closed <-chan struct{}) {
	p.tb.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.pool.Close()
	}()
	until(p.tb, "the pool gives out no connection", func() bool {
		conn, err := p.pool.Acquire(p.tb.Context())
		if err == nil {
			conn.Release()
		}
		return err != nil
	})
	return done
}

const closedPool = "closed pool"

// TestPoolClosedUnderAHandler: the call ends well, and so does Close, which waits
// for the connection that the handler works on.
//
//	A:     runs
//	B:     in line behind A
//	Close: waits for A's connection
//	A:     commits
//	B:     replays, for which it needs no connection.
func TestPoolClosedUnderAHandler(t *testing.T) { //nolint:paralleltest // looks at all goroutines
	d := newDatabase(t)
	for _, m := range modes[:2] { //nolint:paralleltest // as above
		t.Run(string(m.name), func(t *testing.T) {
			left := leaks(t)
			s := newScene(t, d, m, endings[0])
			a := s.hold(s.process, m)
			if m.name != idemtx.ModeDoTx {
				s.follow(0)
			}
			closed := s.closing()
			first := a.finish()
			require.False(t, first.Replayed)
			if s.next != nil {
				s.nextReplays(first)
			}
			receive(t, "the pool is closed", closed)
			_, err := m.do(t.Context(), s.process, request(s.key), s.mustNotRun)
			require.ErrorContains(t, err, closedPool)
			require.Equal(t, 1, s.effects(s.key))
			s.over()
			left()
		})
	}
}

// TestPoolClosedUnderWorkThatIsDone: in pool mode Close has nothing to wait for. That
// the work is done is told, and the key stays claimed.
func TestPoolClosedUnderWorkThatIsDone(t *testing.T) { //nolint:paralleltest // looks at all goroutines
	d := newDatabase(t)
	left := leaks(t)
	s := newScene(t, d, modeDoPool, endings[0])
	worked, goOn := make(chan struct{}), make(chan struct{})
	s.begin(func(ctx context.Context, db querier) (order, error) {
		o, err := s.work(ctx, db)
		close(worked)
		await(t, goOn)
		return o, err
	})
	receive(t, "it has done its work", worked)
	s.follow(0)
	receive(t, "the pool is closed", s.closing())
	close(goOn)
	s.call.ends()
	require.ErrorIs(t, s.call.err, idemtx.ErrOutcomeUnknown)
	require.ErrorContains(t, s.call.err, closedPool)
	require.NotZero(t, s.call.reply.Value.Number)
	s.next.ends()
	require.ErrorContains(t, s.next.err, closedPool)
	require.Equal(t, 1, s.effects(s.key))
	s.over()
	left()
}

// TestPoolClosedUnderWaiters: a call that waits in PostgreSQL still gets its answer,
// and one that looks at a claim again and again ends. So does the next in line,
// which has come too late to be given that answer.
func TestPoolClosedUnderWaiters(t *testing.T) { //nolint:paralleltest // looks at all goroutines
	d := newDatabase(t)
	for _, holder := range []mode{modeDo, modeDoPool} { //nolint:paralleltest // as above
		t.Run(string(holder.name), func(t *testing.T) {
			left := leaks(t)
			s := newScene(t, d, modeDo, endings[0])
			a := s.hold(s.peer(), holder)
			s.begin(s.mustNotRun)
			if holder.atomic {
				s.blocked(s.application, 1)
			} else {
				until(t, "it looks at the claim", func() bool { return goroutinesIn("idemtx.sleep") == 1 })
			}
			s.follow(0)
			closed := s.closing()
			if holder.atomic {
				first := a.finish()
				s.call.ends()
				require.NoError(t, s.call.err)
				require.Equal(t, first.Value, s.call.reply.Value)
			} else {
				s.call.ends()
				require.ErrorContains(t, s.call.err, closedPool)
				a.finish()
			}
			s.next.ends()
			require.ErrorContains(t, s.next.err, closedPool)
			receive(t, "the pool is closed", closed)
			require.Equal(t, 1, s.effects(s.key))
			s.over()
			left()
		})
	}
}
