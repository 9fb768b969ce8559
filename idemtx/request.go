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

// maxKey is the longest key in bytes.
const maxKey = 255

// Raw is a payload whose bytes are fingerprinted as they are.
type Raw []byte

// validate checks everything but the payload, which FingerprintOf does.
func (r *Request) validate() error {
	if r.OnDuplicate < 0 || r.OnDuplicate > Refuse {
		return invalid("OnDuplicate must be Wait, Refuse or unset")
	}
	if err := validTTL(r.TTL); err != nil {
		return err
	}
	return validID(r.Scope, r.Key)
}

func validTTL(ttl time.Duration) error {
	if ttl != 0 && (ttl < minTTL || ttl > maxTTL) {
		return invalid("the TTL must be between %v and %v, or unset", minTTL, maxTTL)
	}
	return nil
}

func validID(sc scope.Scope, key string) error {
	if sc.IsZero() {
		return invalid("there is no scope: make one with scope.New")
	}
	switch {
	case key == "":
		return invalid("there is no key")
	case len(key) > maxKey:
		return invalid("the key has more than %d bytes", maxKey)
	}
	for i := range len(key) {
		if key[i] < ' ' || key[i] > '~' {
			return invalid("the key holds a byte that is not printable ASCII")
		}
	}
	return nil
}
