package idemotel

import (
	"context"
	"errors"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/idemtx/idemtx/idemtx"
)

// The names of the attributes. They mean the same on a metric and on a span.
const (
	modeKey         = attribute.Key("idemtx.mode")
	operationKey    = attribute.Key("idemtx.operation")
	scopeKey        = attribute.Key("idemtx.scope")
	outcomeKey      = attribute.Key("idemtx.outcome")
	attemptsKey     = attribute.Key("idemtx.attempts")
	replayedKey     = attribute.Key("idemtx.replayed")
	waitedKey       = attribute.Key("idemtx.waited")
	tookOverKey     = attribute.Key("idemtx.took_over")
	settledKey      = attribute.Key("idemtx.settled")
	sweepOutcomeKey = attribute.Key("idemtx.sweep.outcome")
	sweepFateKey    = attribute.Key("idemtx.sweep.fate")
)

// maxText is how much is shown of a text that is not idemtx's, in bytes: it may be made
// of what a client has sent.
const maxText = 256

// presentable cuts a text off, and takes out what is not UTF-8: one such attribute
// keeps an exporter from sending all that it would send with it. It copies, because in
// some frameworks a string is memory that the next request is written into.
func presentable(text string) string {
	return strings.Clone(strings.ToValidUTF8(text[:min(len(text), maxText)], ""))
}

// named are the errors of idemtx. Whichever comes first is what an error is called that
// is several.
var named = []struct {
	err  error
	name string
}{
	{idemtx.ErrOutcomeUnknown, "outcome_unknown"},
	{idemtx.ErrTxMisuse, "tx_misuse"},
	{idemtx.ErrReplyNotStorable, "reply_not_storable"},
	{idemtx.ErrInvalidRequest, "invalid_request"},
	{context.Canceled, "context_canceled"},
	{context.DeadlineExceeded, "context_deadline_exceeded"},
}

// errorType is the attribute error.type, which has few values: names, SQLSTATEs and
// the names of types.
func errorType(err error) attribute.KeyValue {
	if err == nil {
		return semconv.ErrorTypeKey.String("panic")
	}
	for _, n := range named {
		if errors.Is(err, n.err) {
			return semconv.ErrorTypeKey.String(n.name)
		}
	}
	var schema *idemtx.SchemaError
	if errors.As(err, &schema) {
		return semconv.ErrorTypeKey.String("schema")
	}
	var server interface{ SQLState() string }
	if errors.As(err, &server) && validSQLState(server.SQLState()) {
		return semconv.ErrorTypeKey.String(server.SQLState())
	}
	return semconv.ErrorTypeKey.String(presentable(semconv.ErrorType(err).Value.AsString()))
}

// validSQLState tells a code of PostgreSQL's from what another type's method of the
// same name may return.
func validSQLState(code string) bool {
	return len(code) == 5 && strings.Trim(code, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// described is what may be said of an error in words: those of idemtx.
func described(err error) string {
	if err == nil {
		return "the handler did not return"
	}
	for _, n := range named {
		if errors.Is(err, n.err) {
			return n.err.Error()
		}
	}
	return ""
}
