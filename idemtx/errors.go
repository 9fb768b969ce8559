package idemtx

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/idemtx/idemtx/scope"
)

// ErrRefused is what a handler returns beside a reply that is final although
// nothing was done: a declined card, a seat that is gone. Its writes are undone,
// the reply is kept and replayed, and [Reply.Refused] tells. It may be wrapped.
var ErrRefused = errors.New("idemtx: refused by the handler")

// ErrMismatch means that the key was first used for another operation or
// another payload. The request has to be corrected: it never succeeds.
var ErrMismatch = errors.New("idemtx: the key was used for a different request")

// ErrInFlight means that another request with this key has not ended. It may
// be tried again; see [InFlightError].
var ErrInFlight = errors.New("idemtx: a request with this key is in flight")

// ErrExpired means that the key was answered once and its reply is no longer
// kept, under [RefuseExpired].
var ErrExpired = errors.New("idemtx: the reply to this key has expired")

// ErrNotFound is what Get and GetTx return when no live reply is stored.
var ErrNotFound = errors.New("idemtx: no reply is stored under this key")

// ErrInvalidRequest means that the request breaks a rule, which the error names.
// The database never hears of it.
var ErrInvalidRequest = scope.ErrInvalid

// ErrReplyNotStorable means that the handler's reply cannot be kept: it is not
// JSON that PostgreSQL's jsonb can hold, does not decode into its own type, or
// is longer than [Config.MaxReplyBytes]. The handler's writes are undone, except
// in DoPool, where there is nothing to undo them with.
var ErrReplyNotStorable = errors.New("idemtx: the reply cannot be stored")

// ErrOutcomeUnknown means that it could not be found out whether the work is
// done or its reply kept. A retry with the same key finds out.
var ErrOutcomeUnknown = errors.New("idemtx: the outcome is unknown, retry with the same key")

// ErrTxMisuse means that a handler ended or broke the transaction it was lent.
// In Do and DoTx its reply is not stored.
var ErrTxMisuse = errors.New("idemtx: the handler misused its transaction")

// InFlightError says when to try again. errors.Is(err, ErrInFlight) holds.
type InFlightError struct {
	// RetryAfter is how long the other request may still take: what is left of
	// its lease in pool mode, and a guess of a second otherwise.
	RetryAfter time.Duration
}

func (e *InFlightError) Error() string {
	return fmt.Sprintf("%v, try again in %v", ErrInFlight, e.RetryAfter)
}

// Is makes an InFlightError an [ErrInFlight].
func (e *InFlightError) Is(target error) bool { return target == ErrInFlight }

// SchemaError lists how the table differs from what idemtx needs, each
// difference with its cure.
type SchemaError struct {
	Table       string // schema and name, quoted
	Differences []string
}

func (e *SchemaError) Error() string {
	return "idemtx: table " + e.Table + " is not as needed: " + strings.Join(e.Differences, "\n\t")
}

// invalid is an ErrInvalidRequest that names the rule. What it formats must not
// come from the request.
func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrInvalidRequest}, args...)...)
}

// errUndecodable is a stored reply that the caller's type cannot take, as after
// a deployment that changed it. Nothing runs: the work is done.
var errUndecodable = errors.New("idemtx: the stored reply does not decode")

// valueError keeps the error of an encoder, whose text may quote the value, for
// errors.As and out of the text.
type valueError struct {
	is    error
	rule  string
	cause error
}

func (e *valueError) Error() string   { return e.is.Error() + ": " + e.rule }
func (e *valueError) Unwrap() []error { return []error{e.is, e.cause} }
