package idemtx

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"unicode/utf8"
)

// Fingerprint tells two requests apart: SHA-256 over operation and payload.
type Fingerprint [32]byte

// maxOperation is the length of an operation in bytes.
const maxOperation = 1024

// The kinds of payload. Raw bytes that happen to be canonical JSON are still
// another request than that JSON.
const (
	kindJSON = 'j'
	kindRaw  = 'r'
)

// FingerprintOf returns the fingerprint of a request for operation with payload.
//
// A [Raw] payload counts byte for byte. A json.RawMessage or jsontext.Value is
// JSON text, and any other value is the JSON that encoding/json makes of it; a
// nil is null. Two JSON payloads are the same if their canonical forms of RFC
// 8785 are: white space, the order of members and the spelling of strings and
// numbers make no difference. Numbers with a fraction or an exponent are
// compared as float64, as RFC 8785 has it. Integers without them are compared
// digit by digit, or 9007199254740992 and 9007199254740993 would be one request.
//
// Each entry of exclude names a member of the payload that makes no difference:
// a member of the outermost object, or with dots one of an object inside it. The
// entry "a.b" is the member "b" of the object "a" and also a member that is
// called "a.b". Missing members are ignored. No entry leads into an array. A
// payload that is no JSON object has nothing to exclude, and is refused.
//
// An error is an [ErrInvalidRequest] that says which rule is broken at which
// JSON pointer, and never what the payload holds. Refused are text that is not
// one valid JSON value, a member name that occurs twice, text that is not valid
// UTF-8, lone surrogates, nesting of more than 256 arrays and objects, numbers
// that no float64 can hold, and Go types that have no JSON or whose tags hide a
// part of them from it: requests that differ there would look the same. All of
// this holds inside excluded members too.
func FingerprintOf(operation string, payload any, exclude ...string) (Fingerprint, error) {
	if len(operation) > maxOperation || !utf8.ValidString(operation) {
		return Fingerprint{}, invalid("the operation must be valid UTF-8 of at most %d bytes", maxOperation)
	}
	if raw, ok := payload.(Raw); ok {
		if len(exclude) > 0 {
			return Fingerprint{}, invalid("Exclude needs a JSON payload, and this one is Raw")
		}
		return digest(operation, kindRaw, raw), nil
	}
	text, err := canonicalJSON(payload, exclude)
	if err != nil {
		return Fingerprint{}, err
	}
	return digest(operation, kindJSON, text), nil
}

// digest is frozen: another one would make a mismatch of every retry that is
// on its way. Lengths stand before what varies, so that no two requests can
// be the same bytes.
func digest(operation string, kind byte, payload []byte) Fingerprint {
	h := sha256.New()
	h.Write([]byte("idemtx fingerprint v1"))
	writeSized(h, []byte(operation))
	h.Write([]byte{kind})
	writeSized(h, payload)
	return Fingerprint(h.Sum(nil))
}

func writeSized(h hash.Hash, b []byte) {
	var size [8]byte
	binary.BigEndian.PutUint64(size[:], uint64(len(b)))
	h.Write(size[:])
	h.Write(b)
}
