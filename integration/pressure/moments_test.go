package pressure

import (
	"context"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/internal/pgwire"
)

// moment is where a call is when its context ends. It plays the scene up to the
// end of both calls.
type moment struct {
	name  string
	modes []mode // that come there
	play  func(s *scene)
}

// The moments before the handler, while another call has the key.
var waits = []moment{
	{"waits in memory", []mode{modeDo, modeDoPool}, waitsInMemory},
	{"waits for a connection", []mode{modeDo, modeDoPool}, waitsForAConnection},
	{"waits for the lock", modes, waitsForTheLock},
	{"waits for a claim", modes, waitsForAClaim},
}

// The moments from when it is the call's turn.
var turns = []moment{
	{"before the handler", modes, beforeTheHandler},
	{"with a claim that it has not heard of", []mode{modeDoPool}, claimsUnheard},
	{"in a statement of the handler", modes, inAStatement},
	{"after the handler", modes, afterTheHandler},
	{"in COMMIT", []mode{modeDo, modeDoBatch}, inCommit},
	{"saves", []mode{modeDoPool}, inCommit},
	{"releases", []mode{modeDoPool}, releases},
}

// The moments that last until two seconds after the end.
var graces = []moment{
	{"in COMMIT that does not come", []mode{modeDo, modeDoBatch}, inCommitForLong},
	{"asks what came of COMMIT", []mode{modeDo, modeDoBatch}, settles},
}

// TestContextEnds is about what a call leaves behind whose context ends: nothing,
// and the turn to the next in line.
func TestContextEnds(t *testing.T) { //nolint:paralleltest // looks at all goroutines
	d := newDatabase(t)
	for _, at := range slices.Concat(waits, turns) {
		at.each(t, func(t *testing.T, m mode, e ending) {
			left := leaks(t)
			s := newScene(t, d, m, e)
			at.play(s)
			s.over()
			left()
		})
	}
}

// TestContextEndsInCommit: the grace is waited for in all at once.
func TestContextEndsInCommit(t *testing.T) {
	d := newDatabase(t)
	left := leaks(t)
	t.Run("moments", func(t *testing.T) {
		for _, at := range graces {
			at.each(t, func(t *testing.T, m mode, e ending) {
				t.Parallel()
				s := newScene(t, d, m, e)
				at.play(s)
				s.over()
			})
		}
	})
	left()
}

func (at moment) each(t *testing.T, test func(t *testing.T, m mode, e ending)) {
	t.Helper()
	for _, m := range at.modes {
		for _, e := range endings {
			t.Run(at.name+" "+string(m.name)+" "+e.name, func(t *testing.T) { test(t, m, e) })
		}
	}
}

// A:  runs
// B:  in line behind A
// C:  in line behind A
// B ends
// A:  commits
// C:  replays.
func waitsInMemory(s *scene) {
	a := s.hold(s.process, s.mode)
	ctx := notice(s.ctx)
	s.call = s.launch(ctx, s.mode, s.key, s.mustNotRun)
	receive(s.t, "it waits in line", ctx.seen)
	s.follow(0)
	s.end()
	s.told(s.ended)
	require.False(s.t, s.next.hasEnded())
	s.nextReplays(a.finish())
	require.Equal(s.t, 1, s.effects(s.key))
}

// All connections are others'.
//
//	A:  has the turn, and no connection
//	B:  in line behind A
//	A ends
//	B:  has the turn, and no connection.
func waitsForAConnection(s *scene) {
	const acquiring = "semaphore.(*Weighted).Acquire"
	giveBack := s.takeAll()
	s.begin(s.mustNotRun)
	until(s.t, "it waits for a connection", func() bool { return goroutinesIn(acquiring) == 1 })
	s.follow(0)
	s.end()
	s.told(s.ended)
	until(s.t, "the next one waits for a connection", func() bool { return goroutinesIn(acquiring) == 1 })
	giveBack()
	s.nextRan()
	require.Equal(s.t, 1, s.effects(s.key))
}

// peer:  runs
// A:     waits in PostgreSQL
// B:     behind A
// A ends
// B:     waits in PostgreSQL
// peer:  commits
// B:     replays.
func waitsForTheLock(s *scene) {
	a := s.hold(s.peer(), modeDo)
	s.begin(s.mustNotRun)
	s.blocked(s.application, 1)
	first := s.waiting(s.application)
	s.follow(2)
	s.end()
	s.told(s.ended)
	until(s.t, "the next one alone waits in PostgreSQL", func() bool {
		now := s.waiting(s.application)
		return len(now) == 1 && now[0] != first[0]
	})
	s.nextReplays(a.finish())
	require.Equal(s.t, 1, s.effects(s.key))
}

// peer:  has claimed the key, runs
// A:     looks at the claim again and again
// B:     behind A
// A ends
// B:     looks at the claim again and again
// peer:  saves
// B:     replays.
func waitsForAClaim(s *scene) {
	const sleeping = "idemtx.sleep"
	a := s.hold(s.peer(), modeDoPool)
	s.begin(s.mustNotRun)
	until(s.t, "it looks again", func() bool { return goroutinesIn(sleeping) == 1 })
	s.follow(0)
	if s.mode.name == idemtx.ModeDoTx {
		until(s.t, "the next one looks, too", func() bool { return goroutinesIn(sleeping) == 2 })
	} else {
		until(s.t, "it has no connection in between", func() bool { return s.pool.Stat().AcquiredConns() == 0 })
	}
	s.end()
	s.told(s.ended)
	until(s.t, "the next one looks again", func() bool { return goroutinesIn(sleeping) == 1 })
	s.nextReplays(a.finish())
	require.Equal(s.t, 1, s.effects(s.key))
}

func asksAboutAKey(trip *pgwire.Trip) bool { return trip.Has("pg_try_advisory_xact_lock") }

// A:  asks about the key
// A ends when PostgreSQL has answered
// B:  runs.
func beforeTheHandler(s *scene) {
	asks, goOn := make(chan struct{}), make(chan struct{})
	s.meet(asksAboutAKey, func(trip *pgwire.Trip) pgwire.Fate {
		trip.Answered = s.end
		close(asks)
		await(s.t, goOn)
		return pgwire.Deliver
	})
	s.begin(func(ctx context.Context, db querier) (order, error) {
		if ctx.Err() == nil {
			s.t.Error("the handler's context is not the caller's")
		}
		return s.work(ctx, db)
	})
	receive(s.t, "it asks about the key", asks)
	if s.mode.name != idemtx.ModeDoTx { // whose next would be first
		s.follow(0)
	}
	close(goOn)
	s.told(s.ended)
	if s.mode.name == idemtx.ModeDoTx {
		s.follow(0)
	}
	s.nextRan()
	require.Equal(s.t, 1, s.effects(s.key))
}
