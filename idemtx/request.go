package idemtx

import (
	"time"

	"github.com/idemtx/idemtx/scope"
)

// Request says which request this is: whose, under which key, and for what.
type Request struct {
	// Scope is whose key it is. Two callers who chose the same key must never
	// share a scope, or one gets the other's reply.
	Scope scope.Scope

	// Operation is what the request asks for, such as "POST /orders". It is a
	// part of the fingerprint: one key on two operations is an [ErrMismatch].
	Operation string

	// Key is the client's idempotency key: 1 to 255 bytes of printable ASCII.
	// Whoever knows it and the scope can fetch the reply, so it is a secret.
	Key string

	// Payload is fingerprinted, so that a key cannot be used again for another
	// request. A [Raw] is taken as it is; everything else as its JSON, made
	// canonical as in RFC 8785. It is not stored.
	Payload any

	// Exclude names members of the payload that may differ between two sendings
	// of one request: a timestamp, a trace id. See [FingerprintOf].
	Exclude []string

	// TTL is how long the reply is replayed, from one minute to 366 days.
	//
	// Defaults to the store's.
	TTL time.Duration

	// OnDuplicate says what this request gets when its key is in flight.
	//
	// Defaults to the store's.
	OnDuplicate Duplicate
}

// Raw is a payload whose bytes are fingerprinted as they are.
type Raw []byte

// String returns "****" for a key of up to 8 bytes, else its first 8 bytes
// and "****". It is how idemtx itself writes a key to a log.
func redacted(key string) string {
	if len(key) <= 8 {
		return "****"
	}
	return key[:8] + "****"
}
