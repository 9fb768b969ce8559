package idemtx

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/idemtx/idemtx/scope"
)

// retryAfter is what a refused request is told when nothing is known of the
// one in flight: long enough for most, short enough not to be noticed.
const retryAfter = time.Second

// call is one request on its way.
type call struct {
	id          keyID
	fingerprint Fingerprint
	ttl         time.Duration
	refuse      bool      // OnDuplicate is Refuse
	deadline    time.Time // of waiting for another request
	keyLock     int64     // the advisory lock on the key; see sql/lock.sql

	scope scope.Scope

	place    *place        // in the line of this process; nil in DoTx
	runs     int           // of the handler
	handled  time.Duration // by it
	waited   time.Duration // for another request
	tookOver bool          // from a claim whose lease had ended
	settled  Settlement    // of the last COMMIT whose answer was lost
}

// prepare validates r and makes c of it.
func (s *Store) prepare(c *call, r Request) error {
	if err := r.validate(); err != nil {
		return err
	}
	f, err := FingerprintOf(r.Operation, r.Payload, r.Exclude...)
	if err != nil {
		return err
	}
	c.id = s.idOf(r.Scope, r.Key)
	c.scope = r.Scope
	c.fingerprint = f
	c.ttl = cmp.Or(r.TTL, s.config.TTL)
	c.refuse = cmp.Or(r.OnDuplicate, s.config.OnDuplicate) == Refuse
	c.deadline = time.Now().Add(s.config.MaxWait)
	c.keyLock = s.lockOf(c.id)
	return nil
}

// keyLock is the advisory lock on a key. Its composition is frozen: two
// releases that disagreed would not exclude each other.
func keyLock(schema, table string, id keyID) int64 {
	b := append(make([]byte, 0, 256), "idemtx key lock v1"...)
	b = appendSized(b, schema, table, id.scope, id.key)
	return lockNumber(b)
}

// appendSized puts its length in front of each part: however the same bytes are dealt
// out, they are another text.
func appendSized(b []byte, parts ...string) []byte {
	for _, part := range parts {
		b = binary.BigEndian.AppendUint64(b, uint64(len(part)))
		b = append(b, part...)
	}
	return b
}

// fingerprintLock is that of what the call is for. A replay that needs no lock is
// spared the hash.
func (c *call) fingerprintLock() int64 { return fingerprintLock(c.keyLock, c.fingerprint) }

// fingerprintLock is the advisory lock on a key and what it is used for. Its
// composition is frozen too.
func fingerprintLock(keyLock int64, f Fingerprint) int64 {
	b := append(make([]byte, 0, 128), "idemtx fingerprint lock v1"...)
	b = binary.BigEndian.AppendUint64(b, uint64(keyLock))
	return lockNumber(append(b, f[:]...))
}

// lockNumber hashes b to the 64 bits of an advisory lock. Two keys on one number
// wait for each other and nothing worse.
func lockNumber(b []byte) int64 {
	sum := sha256.Sum256(b)
	return int64(binary.BigEndian.Uint64(sum[:]))
}

// judge tells what a row means for the call: the answer, an error, or neither
// when the key is free. A live claim is an InFlightError.
func (c *call) judge(r *row, onExpired Expired) (*row, error) {
	switch {
	case r == nil:
		return nil, nil
	case r.expired() && onExpired == Rerun, r.claimed() && !r.live():
		return nil, nil
	case !r.has(c.fingerprint):
		return nil, ErrMismatch
	case r.expired():
		return nil, ErrExpired
	case r.claimed():
		return nil, &InFlightError{RetryAfter: r.left()}
	}
	return r, nil
}
