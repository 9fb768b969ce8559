package pressure

import (
	"context"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/internal/pgwire"
)

// A:  claims the key, and its connection is cut
// A ends
// B:  runs.
func claimsUnheard(s *scene) {
	claims, goOn := make(chan struct{}), make(chan struct{})
	s.meet(asksAboutAKey, func(trip *pgwire.Trip) pgwire.Fate {
		trip.Answered = s.end
		close(claims)
		await(s.t, goOn)
		return pgwire.Swallow
	})
	s.begin(s.mustNotRun)
	receive(s.t, "it claims the key", claims)
	s.follow(0)
	close(goOn)
	s.call.ends()
	require.Error(s.t, s.call.err) // the network's or the context's, whichever was first
	require.Zero(s.t, s.call.reply)
	s.nextRan()
	require.Equal(s.t, 1, s.effects(s.key))
}

// A:  waits at the gate, in a statement of its handler
// B:  behind A
// A ends
// B:  runs, and comes to the gate.
func inAStatement(s *scene) {
	s.shut(s.key)
	s.begin(func(ctx context.Context, db querier) (order, error) {
		o, err := s.work(ctx, db)
		if err == nil {
			err = db.QueryRow(ctx, passGate, s.key).Scan(nil)
		}
		return o, err
	})
	s.blocked(s.application, 1)
	s.follow(2)
	s.end()
	s.told(s.ended)
	receive(s.t, "the next one's handler runs", s.nextRuns)
	s.open(s.key)
	s.nextRan()
	if s.mode.atomic {
		require.Equal(s.t, 1, s.effects(s.key))
	} else {
		require.Equal(s.t, 2, s.effects(s.key), "which is what this mode cannot undo")
	}
}

// A:  has done its work
// A ends
// B:  runs, unless the work is done whatever comes.
func afterTheHandler(s *scene) {
	worked, goOn := make(chan struct{}), make(chan struct{})
	s.begin(func(ctx context.Context, db querier) (order, error) {
		o, err := s.work(ctx, db)
		close(worked)
		await(s.t, goOn)
		s.end()
		return o, err
	})
	receive(s.t, "it has done its work", worked)
	s.follow(1)
	close(goOn)
	if s.mode.atomic {
		s.told(s.ended)
		s.nextRan()
	} else {
		s.told(nil)
		s.nextReplays(s.call.reply)
	}
	require.Equal(s.t, 1, s.effects(s.key))
}

// A:  its COMMIT waits at the gate
// B:  in line behind A
// A ends
// the gate opens
// A:  is told the truth
// B:  replays.
func inCommit(s *scene) {
	s.shut(s.key)
	s.begin(s.work)
	s.blocked(s.application, 1)
	s.follow(0)
	s.end()
	s.open(s.key)
	s.told(nil)
	s.nextReplays(s.call.reply)
	require.Equal(s.t, 1, s.effects(s.key))
}

// A:  its COMMIT waits at the gate
// B:  in line behind A
// A ends, and so does its connection
// B:  runs, and its COMMIT comes to the gate.
func inCommitForLong(s *scene) {
	s.shut(s.key)
	s.begin(s.work)
	s.blocked(s.application, 1)
	first := s.waiting(s.application)
	s.follow(0)
	s.end()
	s.told(idemtx.ErrOutcomeUnknown)
	until(s.t, "the next one's COMMIT is at the gate", func() bool {
		now := s.waiting(s.application)
		return len(now) == 1 && now[0] != first[0]
	})
	s.open(s.key)
	s.nextRan()
	require.Equal(s.t, 1, s.effects(s.key))
}

// A:  its COMMIT waits at the gate, and its connection is cut
// A:  asks what came of that, and waits for its own old backend
// B:  in line behind A
// A ends
// B:  waits for the old backend
// the gate opens
// B:  replays.
func settles(s *scene) {
	s.takeAll()() // so that there is a connection to ask with
	s.shut(s.key)
	begun := make(chan struct{})
	s.meet((*pgwire.Trip).Commits, func(trip *pgwire.Trip) pgwire.Fate {
		s.unreachable.Store(true) // pgx would have the old backend cancel the COMMIT
		trip.Begun = begun
		return pgwire.Abandon
	})
	s.begin(s.work)
	s.blocked(s.application, 1)
	close(begun)
	s.blocked(s.application, 2)
	until(s.t, "pgx has not come through", func() bool { return s.refused.Load() > 0 })
	s.unreachable.Store(false)
	first := s.waiting(s.application)
	s.follow(0)
	s.end()
	s.told(idemtx.ErrOutcomeUnknown)
	until(s.t, "the next one waits for the old backend", func() bool {
		now := s.waiting(s.application)
		return len(now) == 2 && (now[0] != first[0] || now[1] != first[1])
	})
	s.open(s.key)
	s.next.ends()
	require.NoError(s.t, s.next.err)
	require.True(s.t, s.next.reply.Replayed)
	require.Equal(s.t, 1, s.effects(s.key))
}

// A:  has failed, and cannot give its claim back while somebody looks at it
// B:  in line behind A
// A ends
// the looker ends
// A:  is told what its handler says
// B:  runs.
func releases(s *scene) {
	worked, goOn := make(chan struct{}), make(chan struct{})
	s.begin(func(ctx context.Context, db querier) (order, error) {
		_, err := s.work(ctx, db)
		close(worked)
		await(s.t, goOn)
		if err != nil {
			return order{}, err
		}
		return order{}, errFailed
	})
	receive(s.t, "it has done its work", worked)
	looker, err := s.peer().pool.Begin(s.t.Context())
	require.NoError(s.t, err)
	_, err = looker.Exec(s.t.Context(), "SELECT FROM "+s.schema+".idemtx_replies WHERE key = $1 FOR UPDATE", s.key)
	require.NoError(s.t, err)
	close(goOn)
	s.blocked(s.application, 1)
	s.follow(0)
	s.end()
	require.NoError(s.t, looker.Rollback(s.t.Context()))
	s.told(errFailed)
	s.nextRan()
	require.Equal(s.t, 2, s.effects(s.key), "which is what this mode cannot undo")
}
