package idemtx

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Codec seals replies before they are stored, and opens them again. Package idemtink
// has one. It must be safe for concurrent use.
//
// What is sealed is a reply and its body, and no more: scope and fingerprint are stored
// as they are, and so is the key without [Config.KeySecret]. Whether a request was
// refused, and when, is no secret either.
//
// A codec that opens what was sealed under older keys lets keys rotate: a reply is
// opened by the codec of the day, as often as it is replayed, until it expires. A
// reply that was stored without a codec is replayed with one, too; whoever can write
// the table can therefore put a reply there that nobody has sealed. A store without
// a codec answers an error for a reply that is sealed.
//
// An error of Seal undoes the work in Do, DoBatch and DoTx. In DoPool it is tried again,
// and is an [ErrOutcomeUnknown] in the end, beside the reply.
type Codec interface {
	// Seal encrypts plaintext and binds it to associated, which Open is given again
	// and which is not stored: what was sealed for one key does not open for
	// another. keyID is the name of the key, for operators to see which keys are
	// still needed; it is stored in the clear, and may be empty.
	Seal(ctx context.Context, plaintext, associated []byte) (sealed []byte, keyID string, err error)

	// Open is the way back. It must fail for a plaintext that was not sealed, or was
	// bound to something else.
	Open(ctx context.Context, sealed []byte, keyID string, associated []byte) (plaintext []byte, err error)
}

// errUnsealed is the failure of a codec, which may pass. It is no ErrReplyNotStorable.
var errUnsealed = errors.New("idemtx: the reply could not be sealed")

// errSealed is a stored reply that cannot be opened. Nothing runs: the work is done.
var errSealed = errors.New("idemtx: the stored reply does not open")

// seal makes of a draft what is stored.
func (s *Store) seal(ctx context.Context, id keyID, f Fingerprint, d *draft) error {
	if s.config.Codec == nil {
		d.stored = stored{response: d.response, body: d.body}
		return nil
	}
	text, keyID, err := s.config.Codec.Seal(ctx, joined(d.response, d.body), association(id, f, d.refused))
	switch {
	case err != nil:
		return &valueError{errUnsealed, "the codec fails", err}
	case len(text) == 0:
		return fmt.Errorf("%w: the codec makes nothing of it", ErrReplyNotStorable)
	case !utf8.ValidString(keyID) || strings.ContainsRune(keyID, 0):
		return fmt.Errorf("%w: the codec's key has a name that is not UTF-8 or holds U+0000", ErrReplyNotStorable)
	}
	name, err := json.Marshal(keyID)
	d.stored = stored{response: name, body: text, sealed: true}
	return err
}

// opened is a row with its reply to be read.
func (s *Store) opened(ctx context.Context, id keyID, r *row) (*row, error) {
	if !r.Sealed {
		return r, nil
	}
	if s.config.Codec == nil {
		return nil, fmt.Errorf("%w: it is sealed, and the store has no codec", errSealed)
	}
	var keyID string
	if err := json.Unmarshal(r.Response, &keyID); err != nil {
		return nil, &valueError{errSealed, "its key has no name", err}
	}
	text, err := s.config.Codec.Open(ctx, r.Body, keyID, association(id, Fingerprint(r.Fingerprint), r.Refused))
	if err != nil {
		return nil, &valueError{errSealed, "the codec refuses it", err}
	}
	plain := *r
	plain.Sealed = false
	if plain.Response, plain.Body, err = parted(text); err != nil {
		return nil, err
	}
	return &plain, nil
}

// association is what a sealed reply is bound to. Its composition is frozen, as is that
// of joined: another one would make live replies unreadable.
func association(id keyID, f Fingerprint, refused bool) []byte {
	b := append(make([]byte, 0, 256), "idemtx sealed reply v1"...)
	b = appendSized(b, id.scope, id.key)
	b = append(b, f[:]...)
	if refused {
		return append(b, 1)
	}
	return append(b, 0)
}

// joined is a response and its body in one: whether there is a body, how long the
// response is, and both.
func joined(response, body []byte) []byte {
	b := make([]byte, 1, 9+len(response)+len(body))
	if body != nil {
		b[0] = 1
	}
	b = binary.BigEndian.AppendUint64(b, uint64(len(response)))
	return append(append(b, response...), body...)
}

func parted(b []byte) (response, body []byte, err error) {
	if len(b) < 9 || b[0] > 1 || binary.BigEndian.Uint64(b[1:]) > uint64(len(b)-9) {
		return nil, nil, fmt.Errorf("%w: it holds something else", errSealed)
	}
	n := 9 + int(binary.BigEndian.Uint64(b[1:]))
	response, body = b[9:n], b[n:]
	if b[0] == 0 {
		body = nil
	}
	return response, body, nil
}
