// Package scope says whose idempotency key it is.
//
// A key is only unique for the one who chose it: the same key from two callers
// is two keys. A [Scope] names the caller so that no two of them can ever share
// one, and so that printing, logging or encoding it never tells who that is.
package scope

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"unicode"
	"unicode/utf8"
	"unique"
)

// ErrInvalid is what New returns for a part that breaks a rule; the error names
// the rule. idemtx.ErrInvalidRequest is the same value.
var ErrInvalid = errors.New("idemtx: invalid request")

// MaxLength is how many bytes [Scope.Key] may have. It is a part of an index
// entry, and PostgreSQL refuses long ones.
const MaxLength = 1024

// separator stands between the parts of a key and never inside one.
const separator = "\x1e"

// Scope is the identity that a key belongs to. Scopes made of the same parts
// are equal under ==, so a Scope can be the key of a map. The zero Scope
// belongs to nobody and is refused wherever a scope is needed.
//
// A Scope prints as its [Scope.LogID] in fmt, slog and JSON. Where fmt can call
// no method, as in an unexported field, it prints as an address.
type Scope struct {
	// A handle, not a string: fmt prints the text of a string in an unexported
	// field, and a pointer made here would not be equal for equal parts.
	key unique.Handle[string]
}

// New returns the scope of a principal, such as a user or an API client, inside
// a tenant. More parts narrow it, such as an account or a session. They must
// come from what the server has authenticated, never from what the request
// merely claims.
//
// An empty tenant is for services that have none. Every other part must hold
// something, and all must be valid UTF-8 without control characters. Parts are
// compared byte for byte: New folds neither case nor Unicode forms, so
// normalize names that can be written in more than one way.
func New(tenant, principal string, more ...string) (Scope, error) {
	parts := append([]string{tenant, principal}, more...)
	for i, part := range parts {
		if i == 0 && part == "" {
			continue
		}
		if rule := broken(part); rule != "" {
			return Scope{}, fmt.Errorf("%w: scope: %s %s", ErrInvalid, role(i), rule)
		}
	}
	// An empty tenant keeps its separator when there are more parts, or the
	// principal would be taken for a tenant.
	if tenant == "" && len(more) == 0 {
		parts = parts[1:]
	}
	key := strings.Join(parts, separator)
	if len(key) > MaxLength {
		return Scope{}, fmt.Errorf("%w: scope: all parts together must have at most %d bytes", ErrInvalid, MaxLength)
	}
	return Scope{key: unique.Make(key)}, nil
}

// broken returns the rule that part breaks, or nothing.
func broken(part string) string {
	switch {
	case part == "":
		return "must not be empty"
	case !utf8.ValidString(part):
		return "must be valid UTF-8"
	case strings.Contains(part, separator):
		return "must not hold U+001E, which separates the parts"
	case strings.ContainsFunc(part, unicode.IsControl):
		return "must not hold a control character"
	}
	return ""
}

// role names a part without its value.
func role(i int) string {
	switch i {
	case 0:
		return "tenant"
	case 1:
		return "principal"
	}
	return fmt.Sprintf("part %d", i+1)
}

// Key is the scope as it is stored: its parts, joined by U+001E. It says who it
// is, so it belongs into a query and not into a log. The zero Scope's is empty.
func (s Scope) Key() string {
	if s.IsZero() {
		return ""
	}
	return s.key.Value()
}

// IsZero reports whether s is the zero Scope, which belongs to nobody.
func (s Scope) IsZero() bool { return s == Scope{} }

// LogID tells scopes apart in a log: "sha256:" and the first 12 hex digits of
// the SHA-256 of [Scope.Key]. It is no secret: whoever can guess a name can
// compute it.
func (s Scope) LogID() string {
	sum := sha256.Sum256([]byte(s.Key()))
	return "sha256:" + hex.EncodeToString(sum[:6])
}

// String returns the LogID.
func (s Scope) String() string { return s.LogID() }

// GoString returns the LogID, which is what %#v prints.
func (s Scope) GoString() string { return "scope.Scope(" + s.LogID() + ")" }

// LogValue returns the LogID.
func (s Scope) LogValue() slog.Value { return slog.StringValue(s.LogID()) }

// MarshalText returns the LogID. There is no way back from it.
func (s Scope) MarshalText() ([]byte, error) { return []byte(s.LogID()), nil }
