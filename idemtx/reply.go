package idemtx

import (
	"encoding/json"
	"time"
)

// Reply is the answer to a request.
type Reply[T any] struct {
	// Value is the handler's reply as it comes back from its JSON, so that the
	// first caller gets exactly what the later ones get.
	Value T

	// Replayed tells that the handler did not run for this call.
	Replayed bool

	// Refused tells that the handler returned [ErrRefused]: its writes were
	// undone and its reply was kept.
	Refused bool

	CreatedAt time.Time // when the reply was written, by the server's clock
	ExpiresAt time.Time // until when it is replayed
}

// ReplyMarshaler is implemented by replies that say themselves how they are
// stored, such as one that holds bytes which must come back as they were: JSON
// in PostgreSQL keeps the meaning of a value, not its bytes.
type ReplyMarshaler interface {
	// MarshalReply returns JSON, and bytes that are stored beside it or nil.
	MarshalReply() (response json.RawMessage, body []byte, err error)
}

// ReplyUnmarshaler is the way back of a [ReplyMarshaler]. It is implemented by
// the pointer to the reply's type, and must copy what it keeps.
type ReplyUnmarshaler interface {
	UnmarshalReply(response json.RawMessage, body []byte) error
}

// Entry is a stored reply, for [Store.Get] and [Store.Put].
type Entry struct {
	Fingerprint Fingerprint
	Response    json.RawMessage
	Body        []byte        // what is stored beside the response byte for byte, or nil
	Refused     bool          // the handler returned ErrRefused
	TTL         time.Duration // Put: 0 is the store's

	CreatedAt, ExpiresAt time.Time // Get
}
