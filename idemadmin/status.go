package idemadmin

import (
	"time"

	"github.com/idemtx/idemtx/idemtx"
)

// State is what has become of a key.
type State string

// The states of a key.
const (
	StateAbsent   State = "absent"    // no row, and nobody holds the key
	StateInFlight State = "in_flight" // a live claim of pool mode, or a transaction that holds the key's lock
	StateAnswered State = "answered"  // a live reply
	StateRefused  State = "refused"   // a live reply of a handler that refused
	StateExpired  State = "expired"   // a reply that has expired, what was kept of it, or a claim whose lease has ended
)

// Status is what is known of a key at one moment. Times are zero where the row
// has none.
type Status struct {
	State State

	// Since is when the state began: of a claim or a reply when it was made, of a
	// held lock when its transaction began, of what has expired when it did. It is
	// zero where that cannot be known: of a row whose reply the sweeper has taken
	// away, and of a lock whose holder the role may not see (pg_monitor may).
	Since time.Time

	Fingerprint idemtx.Fingerprint // zero where no row is stored

	CreatedAt, ExpiresAt, LeaseUntil, RetainUntil time.Time

	Bytes  int64  // that response and body take in the table, where they may be compressed
	Sealed bool   // the reply can be read only with a key of Config.Codec
	KeyID  string // of the key that a sealed reply needs

	// Pid is the backend whose transaction holds the key's lock, or 0 when none does.
	// Beside a live reply it is of a call that is about to be answered with it.
	Pid int32

	// Prepared is the name of the prepared transaction that holds the key's lock. It
	// has no backend, and holds the key until it is committed or rolled back by name.
	Prepared string
}

// Entry is a row of the table.
type Entry struct {
	Status
	ScopeLogID string
	Key        string // its first 8 characters, or **** when it has no more
}

// record is a row as sql/rows.sql selects it.
type record struct {
	State       string
	Since       *time.Time
	Fingerprint []byte
	CreatedAt   time.Time
	ExpiresAt   time.Time
	LeaseUntil  *time.Time
	RetainUntil *time.Time
	Bytes       int64
	Sealed      bool
	KeyID       string `db:"key_id"`
	ScopeLogID  string `db:"scope_log_id"`
	RedactedKey string
}

func (r *record) status() Status {
	st := Status{
		State: State(r.State), Since: orZero(r.Since),
		CreatedAt: r.CreatedAt, ExpiresAt: r.ExpiresAt,
		LeaseUntil: orZero(r.LeaseUntil), RetainUntil: orZero(r.RetainUntil),
		Bytes: r.Bytes, Sealed: r.Sealed, KeyID: r.KeyID,
	}
	copy(st.Fingerprint[:], r.Fingerprint)
	return st
}

func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}
