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

// TraceStartData tells which call begins. It holds no key and no payload, and
// its scope prints as a hash.
type TraceStartData struct {
	Mode      Mode
	Scope     scope.Scope
	Operation string
}

// TraceEndData tells how a call ended.
type TraceEndData struct {
	Outcome  Outcome
	Attempts int           // how often the handler was called
	Waited   time.Duration // for another request with the same key
	Err      error         // what the caller gets; a handler's own error may hold anything
}
