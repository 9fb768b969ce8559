package idemtx

import (
	"cmp"
	"context"
	"errors"
)

// runner is one of the three modes.
type runner func(ctx context.Context, c *call) (result, error)

// answer is what the three modes have in common: it validates a request, has it
// run, and decodes what comes of it, under the eyes of the tracer.
func answer[T any](ctx context.Context, s *Store, mode Mode, r Request, run runner) (Reply[T], error) {
	c := new(call)
	tracer := s.config.Tracer
	if tracer == nil {
		return answered[T](ctx, s, c, r, run)
	}
	ctx = tracer.TraceStart(ctx, TraceStartData{Mode: mode, Scope: r.Scope, Operation: r.Operation, Key: s.traced(r.Key)})
	end := TraceEndData{Outcome: OutcomeFailed} // as it stays when the handler panics
	defer func() {
		end.Attempts, end.Waited, end.Handler = c.runs, c.waited, c.handled
		end.TookOver, end.Settled = c.tookOver, c.settled
		tracer.TraceEnd(ctx, end)
	}()
	out, err := answered[T](ctx, s, c, r, run)
	end.Outcome, end.Err = outcomeOf(out.Replayed, out.Refused, err), err
	return out, err
}

func answered[T any](ctx context.Context, s *Store, c *call, r Request, run runner) (Reply[T], error) {
	if err := s.prepare(c, r); err != nil {
		return Reply[T]{}, err
	}
	res, err := run(ctx, c)
	if res.row == nil {
		return Reply[T]{}, err
	}
	out, replyErr := replyOf[T](ctx, s, c, res)
	return out, cmp.Or(err, replyErr)
}

func replyOf[T any](ctx context.Context, s *Store, c *call, res result) (Reply[T], error) {
	r, err := s.opened(ctx, c.id, res.row)
	if err != nil {
		return Reply[T]{}, err
	}
	return reply[T](result{r, res.replayed})
}

// outcomeOf names how a call has ended.
func outcomeOf(replayed, refused bool, err error) Outcome {
	switch {
	case err == nil && replayed:
		return OutcomeReplayed
	case err == nil && refused:
		return OutcomeRefused
	case err == nil:
		return OutcomeFirst
	case errors.Is(err, ErrMismatch):
		return OutcomeMismatch
	case errors.Is(err, ErrInFlight):
		return OutcomeInFlight
	case errors.Is(err, ErrExpired):
		return OutcomeExpired
	case errors.Is(err, ErrOutcomeUnknown):
		return OutcomeUnknown
	}
	return OutcomeFailed
}
