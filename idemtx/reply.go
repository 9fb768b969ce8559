package idemtx

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"
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

// result is a call's answer before it is decoded.
type result struct {
	row      *row
	replayed bool
}

// draft is a handler's reply, encoded.
type draft struct {
	response []byte
	body     []byte
	refused  bool
}

// encode turns what a handler has returned into a draft. An error other than
// ErrRefused is the handler's and comes back as it is.
func encode[T any](s *Store, value T, err error) (draft, error) {
	refused := errors.Is(err, ErrRefused)
	if err != nil && !refused {
		return draft{}, err
	}
	d := draft{refused: refused}
	if m, ok := marshaler(&value); ok {
		d.response, d.body, err = m.MarshalReply()
	} else {
		d.response, err = json.Marshal(value)
	}
	if err != nil {
		return draft{}, &valueError{ErrReplyNotStorable, "it does not encode", err}
	}
	if err := s.storable(d); err != nil {
		return draft{}, err
	}
	// Now, while the work can still be undone, and not at each replay.
	if _, err := decode[T](d.response, d.body); err != nil {
		return draft{}, &valueError{ErrReplyNotStorable, "it does not decode into its own type", err}
	}
	return d, nil
}

// marshaler finds the method on T or, where value can be addressed, on *T.
func marshaler[T any](value *T) (ReplyMarshaler, bool) {
	if m, ok := any(*value).(ReplyMarshaler); ok {
		return m, true
	}
	m, ok := any(value).(ReplyMarshaler)
	return m, ok
}

// storable tells what jsonb would refuse, before the transaction is broken by
// it. What only the server knows, such as the largest numeric, it refuses.
func (s *Store) storable(d draft) error {
	if len(d.response)+len(d.body) > s.config.MaxReplyBytes {
		return fmt.Errorf("%w: it has more than %d bytes", ErrReplyNotStorable, s.config.MaxReplyBytes)
	}
	if !jsontext.Value(d.response).IsValid(jsontext.AllowDuplicateNames(true)) {
		return fmt.Errorf("%w: it is not valid JSON in UTF-8", ErrReplyNotStorable)
	}
	for rest := d.response; ; {
		i := bytes.IndexByte(rest, '\\')
		if i < 0 {
			return nil
		}
		if bytes.HasPrefix(rest[i:], []byte(`\u0000`)) {
			return fmt.Errorf("%w: it holds U+0000", ErrReplyNotStorable)
		}
		rest = rest[i+2:] // what is escaped may be a backslash
	}
}

func decode[T any](response, body []byte) (T, error) {
	var value T
	var err error
	if u, ok := any(&value).(ReplyUnmarshaler); ok {
		err = u.UnmarshalReply(response, body)
	} else {
		err = json.Unmarshal(response, &value)
	}
	return value, err
}

// reply decodes the answer for the caller, who owns every byte of it.
func reply[T any](r result) (Reply[T], error) {
	value, err := decode[T](r.row.Response, r.row.Body)
	if err != nil {
		return Reply[T]{}, &valueError{errUndecodable, fmt.Sprintf("its type is %T now", value), err}
	}
	return Reply[T]{
		Value:     value,
		Replayed:  r.replayed,
		Refused:   r.row.Refused,
		CreatedAt: r.row.CreatedAt,
		ExpiresAt: r.row.ExpiresAt,
	}, nil
}
