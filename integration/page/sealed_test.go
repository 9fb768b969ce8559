package page

import (
	"bytes"
	"context"
	"errors"
	"html"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/idemui"
)

// codec seals with a key of this name. It is no cipher: it turns the bits around.
type codec string

func (c codec) Seal(_ context.Context, plaintext, _ []byte) (sealed []byte, keyID string, err error) {
	return turned(plaintext), string(c), nil
}

func (c codec) Open(_ context.Context, sealed []byte, keyID string, _ []byte) ([]byte, error) {
	if keyID != string(c) {
		return nil, errors.New("the key is gone")
	}
	return turned(sealed), nil
}

func turned(b []byte) []byte {
	b = bytes.Clone(b)
	for i := range b {
		b[i] ^= 0xff
	}
	return b
}

func TestSealedReplies(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *idemtx.Config) { c.Codec = codec("key-of-march") })
	f.do(key, nil)
	s := f.serve(idemui.Config{})
	assert.Contains(t, s.lookUp(key).body, "with key <code>key-of-march</code>")
	assert.Contains(t, s.post("scope", map[string][]string{"scope": {whose(t).LogID()}}).body, "<td>key-of-march</td>")
	assert.Contains(t, s.get("").body, `<th scope="row"><code>key-of-march</code></th><td class="n">1</td>`)

	s = f.serve(idemui.Config{ShowReplies: true})
	assert.Contains(t, html.UnescapeString(s.lookUp(key).body), replied)

	config := f.store.Config()
	config.Codec = codec("key-of-april")
	s = f.with(config).serve(idemui.Config{ShowReplies: true})
	r := s.lookUp(key)
	assert.Equal(t, 200, r.status, "all but the reply is known")
	assert.Contains(t, r.body, "It cannot be read.")
	assert.NotContains(t, r.body, replied)
	assert.NotContains(t, f.log.String(), replied)
}

func TestHashedKeys(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *idemtx.Config) { c.KeySecret = bytes.Repeat([]byte("s"), 32) })
	f.do(key, nil)
	s := f.serve(idemui.Config{})
	assert.Contains(t, s.lookUp(key).body, ">Answered</span>")
	found := s.post("scope", map[string][]string{"scope": {whose(t).LogID()}}).body
	assert.NotContains(t, found, key[:8])
	assert.Contains(t, found, "Keys are stored as a hash")
}
