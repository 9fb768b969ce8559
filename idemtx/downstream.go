package idemtx

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"unicode/utf8"
)

// maxStep is the length of a step's name in bytes.
const maxStep = 255

// DownstreamKey returns an idempotency key for a call that the handler of r
// makes to another service, such as a payment provider. No rollback undoes such
// a call. A handler that runs again, because its transaction was undone or
// because a client tries again what had failed, calls with the same key, and the
// provider does the work once:
//
//	key, err := idemtx.DownstreamKey(r, "charge")
//
// Behind idemhttp, r is idemhttp.Request(ctx).
//
// The step names the call: each call within a request needs a name of its own
// ("charge", "email-receipt"), and one in a loop has the item's own id in its
// name, not an index, which another run may give to another item. Where services
// share both an account at the provider and their clients' keys, the step names
// the service, too. It is 1 to 255 bytes of valid UTF-8.
//
// The key is made of scope, key and step, and deliberately of neither operation
// nor payload. When a first attempt has charged and was undone, a corrected
// request with the same key must meet the provider's own refusal of the
// mismatch, and not charge once more. It is a UUID of version 8, 36 characters.
// The provider cannot compute the client's key from it, unless that can be
// guessed.
//
// What it cannot do:
//   - It is of no use with a provider that takes no idempotency key.
//   - Providers forget: Stripe may after 24 hours. A client that tries an undone
//     request again after that is charged again.
//   - Providers remember: a key that is forgotten here first, and is sent again,
//     places a second order for which the provider shows the first one's charge.
//     Keep the TTL no shorter than the provider's memory, and the provider's id
//     of the charge in a UNIQUE column.
//   - Providers repeat failures, too, as Stripe does: another attempt at a
//     declined charge needs another key of the client's. See [ErrRefused].
//
// An error is an [ErrInvalidRequest]. A Request without scope or key, as outside
// of a handler, has no downstream key: it would be everybody's.
func DownstreamKey(r Request, step string) (string, error) {
	if err := validID(r.Scope, r.Key); err != nil {
		return "", err
	}
	if step == "" || len(step) > maxStep || !utf8.ValidString(step) {
		return "", invalid("the step must be valid UTF-8 of 1 to %d bytes", maxStep)
	}
	return uuid(downstream(r, step)), nil
}

// downstream is frozen: another one would have the provider do the work of every
// retry that is on its way once more.
//
// HMAC takes a key of more than 64 bytes for its hash. All keys are hashed here,
// or a client could find two that are one to the provider, and pay once for two
// orders.
func downstream(r Request, step string) [sha256.Size]byte {
	secret := sha256.Sum256([]byte(r.Key))
	h := hmac.New(sha256.New, secret[:])
	h.Write([]byte("idemtx downstream key v1"))
	writeSized(h, []byte(r.Scope.Key()))
	writeSized(h, []byte(step))
	return [sha256.Size]byte(h.Sum(nil))
}

// uuid writes the first bytes of sum as a UUID of RFC 9562, version 8, which is
// the one for bits that only their maker understands.
func uuid(sum [sha256.Size]byte) string {
	b := sum[:16]
	b[6] = b[6]&0x0f | 0x80
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
