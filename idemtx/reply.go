package idemtx

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Reply is the answer to a request.
type Reply[T any] struct {
	// Value is the handler's reply as it comes back from its JSON, for the first
	// caller as for the later ones. PostgreSQL keeps the meaning of JSON and not
	// its spelling, so a json.RawMessage may come back with other white space,
	// another order of members and 100 for 1e2.
	Value T

	// Replayed tells that the reply is another call's: the handler did not run,
	// or what it did was undone because another was faster.
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
	// MarshalReply returns JSON, and bytes that are stored beside it or nil. It
	// is not called for a nil pointer, which is the JSON null.
	MarshalReply() (response json.RawMessage, body []byte, err error)
}

// ReplyUnmarshaler is the way back of a [ReplyMarshaler], implemented by a
// pointer. It may keep the slices it is given.
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
	stored   stored
}

// stored is what the columns of a reply get.
type stored struct {
	response []byte
	body     []byte
	sealed   bool
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
		// They are passed on to others, and may be a buffer of the handler's.
		d.response, d.body = bytes.Clone(d.response), bytes.Clone(d.body)
	} else {
		d.response, err = json.Marshal(value)
	}
	if err != nil {
		return draft{}, &valueError{ErrReplyNotStorable, "it does not encode", err}
	}
	return checked[T](s, d)
}

// checked returns a draft that can be stored and replayed, while the work can still
// be undone.
func checked[T any](s *Store, d draft) (draft, error) {
	if err := s.storable(d); err != nil {
		return draft{}, err
	}
	if _, err := decode[T](d.response, d.body); err != nil {
		return draft{}, &valueError{ErrReplyNotStorable, "it does not decode into its own type", err}
	}
	return d, nil
}

// marshaler finds the method on T or, as value can be addressed, on *T.
func marshaler[T any](value *T) (ReplyMarshaler, bool) {
	if v := reflect.ValueOf(*value); v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, false
	}
	if m, ok := any(*value).(ReplyMarshaler); ok {
		return m, true
	}
	m, ok := any(value).(ReplyMarshaler)
	return m, ok
}

// unmarshaler finds the method on *T or, where T is a pointer itself, on T, and
// lets that point to something.
func unmarshaler[T any](value *T) (ReplyUnmarshaler, bool) {
	if u, ok := any(value).(ReplyUnmarshaler); ok {
		return u, true
	}
	if _, ok := any(*value).(ReplyUnmarshaler); !ok {
		return nil, false
	}
	v := reflect.ValueOf(value).Elem()
	if v.Kind() == reflect.Pointer && v.IsNil() {
		v.Set(reflect.New(v.Type().Elem()))
	}
	u, ok := any(*value).(ReplyUnmarshaler)
	return u, ok
}

// storable tells what jsonb would refuse, before the transaction is broken by
// it. What only the server knows, such as the largest numeric, it refuses.
func (s *Store) storable(d draft) error {
	if len(d.response)+len(d.body) > s.config.MaxReplyBytes {
		return fmt.Errorf("%w: it has more than %d bytes", ErrReplyNotStorable, s.config.MaxReplyBytes)
	}
	if !jsontext.Value(d.response).IsValid() {
		return fmt.Errorf("%w: it is not valid JSON in UTF-8 with each member once", ErrReplyNotStorable)
	}
	if checkJSON(d.response) != nil {
		// jsonb writes 1e131071 out: a replay must not be longer than any bound.
		return fmt.Errorf("%w: it holds a number that no float64 can hold, or nests too deep", ErrReplyNotStorable)
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

// decode gives the value bytes of its own.
func decode[T any](response, body []byte) (T, error) {
	var value T
	if body == nil && string(response) == "null" {
		return value, nil
	}
	u, ok := unmarshaler(&value)
	switch {
	case ok:
		err := u.UnmarshalReply(bytes.Clone(response), bytes.Clone(body))
		return value, err
	case body != nil:
		return value, errors.New("there is no UnmarshalReply to take back its bytes")
	}
	err := json.Unmarshal(response, &value)
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
