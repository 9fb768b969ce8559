package idemtink_test

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/idemtx/idemtx/idemtink"
	"github.com/idemtx/idemtx/idemtx"
)

// A keyset is made once and kept by a key management service: keyset.Read has the
// ways to load it.
func ExampleNew() {
	keys, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		fmt.Println(err)
		return
	}
	codec, err := idemtink.New(keys)
	if err != nil {
		fmt.Println(err)
		return
	}
	newStore := func(pool *pgxpool.Pool) (*idemtx.Store, error) {
		return idemtx.New(pool, idemtx.Config{Codec: codec})
	}
	_ = newStore // at the start of the service

	sealed, _, err := codec.Seal(context.Background(), []byte(`{"order":1}`), nil)
	fmt.Println(len(sealed) > len(`{"order":1}`), err)
	// Output: true <nil>
}
