// Package idemtink seals the replies of an idemtx.Store with Tink.
package idemtink

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/idemtx/idemtx/idemtx"
)

// Codec seals with the primary key of a keyset, and opens what any of its keys has
// sealed. It is safe for concurrent use.
type Codec struct {
	aead    tink.AEAD
	primary string
}

var _ idemtx.Codec = (*Codec)(nil)

// New returns a codec for a keyset of AEAD keys, such as
// aead.AES256GCMKeyTemplate makes. The name of a key, as the table has it, is its id
// in the keyset.
//
// To rotate: add a key to the keyset and deploy that everywhere, so that every replica
// opens what the next step seals; make it the primary key and deploy again. The old key
// may go when nothing that it has sealed is live any more, at the latest when the longest
// TTL of a request is over:
//
//	SELECT response, count(*) FROM idemtx_replies WHERE sealed GROUP BY response
//
// Without it, what it has sealed is an error to whoever asks for it again, and its work
// is not done a second time.
func New(keys *keyset.Handle) (*Codec, error) {
	if keys == nil {
		return nil, errors.New("idemtink: the keyset is nil")
	}
	primitive, err := aead.New(keys)
	if err != nil {
		return nil, fmt.Errorf("idemtink: %w", err)
	}
	primary, err := keys.Primary()
	if err != nil {
		return nil, fmt.Errorf("idemtink: %w", err)
	}
	return &Codec{aead: primitive, primary: strconv.FormatUint(uint64(primary.KeyID()), 10)}, nil
}

// Seal encrypts with the primary key.
func (c *Codec) Seal(_ context.Context, plaintext, associated []byte) (sealed []byte, keyID string, err error) {
	sealed, err = c.aead.Encrypt(plaintext, associated)
	return sealed, c.primary, err
}

// Open decrypts. Which key that takes, the sealed text says itself.
func (c *Codec) Open(_ context.Context, sealed []byte, _ string, associated []byte) ([]byte, error) {
	return c.aead.Decrypt(sealed, associated)
}
