package idemtx

import (
	"context"
	"time"

	"github.com/idemtx/idemtx/scope"
)

// Mode is one of the ways in.
type Mode string

// The ways in, named after their functions.
const (
	ModeDo      Mode = "Do"
	ModeDoBatch Mode = "DoBatch"
	ModeDoTx    Mode = "DoTx"
	ModeDoPool  Mode = "DoPool"
)

// Outcome is how a call ended. Exactly one holds.
type Outcome string

// The outcomes of a call. All but the first three come with an error.
const (
	OutcomeFirst    Outcome = "first"     // the handler ran and its reply is kept
	OutcomeReplayed Outcome = "replayed"  // the reply was kept by an earlier call
	OutcomeRefused  Outcome = "refused"   // the handler refused and that reply is kept
	OutcomeMismatch Outcome = "mismatch"  // ErrMismatch
	OutcomeInFlight Outcome = "in_flight" // ErrInFlight
	OutcomeExpired  Outcome = "expired"   // ErrExpired
	OutcomeUnknown  Outcome = "unknown"   // ErrOutcomeUnknown
	OutcomeFailed   Outcome = "failed"    // any other error, the handler's included
)

// Tracer is told when a call begins and ends. Its methods are called from the
// caller's goroutine and must not block.
type Tracer interface {
	// TraceStart returns the context that the handler and TraceEnd get.
	TraceStart(ctx context.Context, data TraceStartData) context.Context

	// TraceEnd is called once for each TraceStart, even when a handler panics.
	TraceEnd(ctx context.Context, data TraceEndData)
}

// TraceStartData tells which call begins. It holds no more of the key than a log
// does, and no payload; its scope prints as a hash.
type TraceStartData struct {
	Mode      Mode
	Scope     scope.Scope
	Operation string
	Key       string // its first 8 bytes, valid or not; **** of one that has no more, and with a Config.KeySecret
}

// TraceEndData tells how a call ended.
type TraceEndData struct {
	Outcome  Outcome
	Attempts int           // how often the handler was called
	Handler  time.Duration // spent in the handler; 0 for a DoBatch in one trip
	Waited   time.Duration // for another request with the same key
	TookOver bool          // the key was claimed by another call, whose lease had ended
	Settled  Settlement    // what became of the last COMMIT whose answer was lost
	Err      error         // what the caller gets; a handler's own error may hold anything
}

// Settlement is what was found out about a COMMIT whose answer was lost. It is empty
// when none was.
type Settlement string

// The ends of a COMMIT whose answer was lost.
const (
	SettledCommitted Settlement = "committed" // it had landed
	SettledUndone    Settlement = "undone"    // it had not; that of a DoBatch that never arrived may still
	SettledUnknown   Settlement = "unknown"   // it could not be found out
)

// SweepTracer is what a [Tracer] implements that wants to hear of the sweeper, too. It
// must not block.
type SweepTracer interface {
	// TraceSweep is called after each batch of DeleteExpired and RunSweeper.
	TraceSweep(ctx context.Context, data TraceSweepData)
}

// TraceSweepData tells what a batch has done.
type TraceSweepData struct {
	Deleted  int64 // rows
	Buried   int64 // rows whose reply was deleted, and whose key is retained
	Duration time.Duration
	Skipped  bool // another replica was at it, so that nothing was done
	Err      error
}

// traced is how a tracer is told of a key as the caller has it.
func (s *Store) traced(key string) string {
	if s.config.KeySecret != nil {
		return hidden
	}
	return redacted(key)
}
