package idemtx

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/idemtx/idemtx/scope"
)

// Secret is bytes that no log shows: it prints as ****.
type Secret []byte

// minSecret is as many bytes as SHA-256 gives, as RFC 2104 recommends.
const minSecret = sha256.Size

const hidden = "****"

// String hides the secret.
func (Secret) String() string { return hidden }

// Format hides the secret, whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// MarshalText hides the secret, also in JSON.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// LogValue hides the secret.
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// Location is where the table has a key.
type Location struct {
	Scope string // the column scope: whose key it is, in the clear
	Key   string // the column key: the key itself or, under Config.KeySecret, what stands for it

	// Lock is the number of the advisory lock that a call has while its handler runs
	// in a transaction. In pg_locks its upper half is classid and its lower half objid,
	// and objsubid is 1.
	Lock int64
}

// Locate tells where the table has a key, for an operator's own SQL. It does not ask
// the database. Whoever has a Location can read the reply: it is not for logs.
//
// An error is an [ErrInvalidRequest].
func (s *Store) Locate(sc scope.Scope, key string) (Location, error) {
	if err := validID(sc, key); err != nil {
		return Location{}, err
	}
	id := s.idOf(sc, key)
	return Location{Scope: id.scope, Key: id.key, Lock: s.lockOf(id)}, nil
}

// idOf copies the key, as a scope has: the line in this process still has them
// when the caller has returned, and some frameworks' strings are memory that the
// next request is written into.
func (s *Store) idOf(sc scope.Scope, key string) keyID {
	if s.config.KeySecret == nil {
		return keyID{scope: sc.Key(), key: strings.Clone(key)}
	}
	return keyID{scope: sc.Key(), key: hashedKey(s.config.KeySecret, sc.Key(), key)}
}

// hashedKey is what is stored in place of a key. Its composition is frozen: another
// one would make live rows unreachable. With the scope in it, one key of two clients
// does not show as one.
func hashedKey(secret Secret, scope, key string) string {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte("idemtx stored key v1"))
	writeSized(h, []byte(scope))
	writeSized(h, []byte(key))
	return "h1:" + hex.EncodeToString(h.Sum(nil))
}

func (s *Store) lockOf(id keyID) int64 { return keyLock(s.config.Schema, s.config.Table, id) }
