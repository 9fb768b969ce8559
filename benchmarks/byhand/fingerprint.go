package byhand

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"github.com/go-json-experiment/json/jsontext"
)

var (
	errMismatch = errors.New("the key belongs to another request")
	errInFlight = errors.New("the request is in flight")
)

// fingerprint is the hash of the payload in the form of RFC 8785.
func fingerprint(payload []byte) (string, error) {
	value := jsontext.Value(payload).Clone()
	if err := value.Canonicalize(); err != nil {
		return "", err
	}
	sum := sha256.Sum256(value)
	return hex.EncodeToString(sum[:]), nil
}
