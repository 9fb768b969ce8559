package idemtx

import (
	"bytes"
	"encoding/json"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// row is what the table holds of one key. It is never changed once it is read:
// callers behind in the line may be given it too.
type row struct {
	Fingerprint []byte
	Response    []byte // nil in a claim and when it is gone; the JSON null is four bytes
	Body        []byte
	Refused     bool
	Sealed      bool // the body is both, encrypted, and the response names the key
	Retained    bool // the reply has expired and is gone; what is left refuses the key
	CreatedAt   time.Time
	ExpiresAt   time.Time
	LeaseID     pgtype.UUID
	SecondsLeft float64 // of the lease, or until it expires
	Unconfirmed bool    // a synchronous standby may not have it
}

// lockState is the answer to lock.sql.
type lockState struct {
	Held          bool
	BegunAt       time.Time
	LockTimeout   string
	SnapshotLasts bool // as long as the transaction, and is older than the lock
}

// written is what the server made of a reply's times.
type written struct {
	CreatedAt, ExpiresAt time.Time
}

func (r *row) claimed() bool { return r.Response == nil && !r.Retained }

// expired tells that there was an answer, whether it is still there or not.
func (r *row) expired() bool { return r.Retained || !r.claimed() && !r.live() }

// answered tells that there is an answer to be given.
func (r *row) answered() bool { return r.Response != nil && r.live() }

func (r *row) has(f Fingerprint) bool { return bytes.Equal(r.Fingerprint, f[:]) }

func (r *row) live() bool { return r.SecondsLeft > 0 }

// left is how long a live claim holds unless it is renewed, or an answer is replayed.
func (r *row) left() time.Duration {
	return time.Duration(r.SecondsLeft * float64(time.Second))
}

func (r *row) entry() Entry {
	e := Entry{
		Response:  json.RawMessage(r.Response),
		Body:      r.Body,
		Refused:   r.Refused,
		TTL:       r.ExpiresAt.Sub(r.CreatedAt),
		CreatedAt: r.CreatedAt,
		ExpiresAt: r.ExpiresAt,
	}
	copy(e.Fingerprint[:], r.Fingerprint)
	return e
}

// scanRow reads an answer with the columns of look.sql. Without a row it returns nil.
func scanRow(answer pgx.Row) (*row, error) {
	r := new(row)
	err := answer.Scan(&r.Fingerprint, &r.Response, &r.Body, &r.Refused, &r.Sealed, &r.Retained,
		&r.CreatedAt, &r.ExpiresAt, &r.LeaseID, &r.SecondsLeft, &r.Unconfirmed)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return r, nil
}

func (l *lockState) scan(answer pgx.Row) error {
	return answer.Scan(&l.Held, &l.BegunAt, &l.LockTimeout, &l.SnapshotLasts)
}

func (w *written) scan(answer pgx.Row) error { return answer.Scan(&w.CreatedAt, &w.ExpiresAt) }

// skip reads n results of a batch that hold nothing to know.
func skip(br pgx.BatchResults, n int) error {
	for range n {
		if _, err := br.Exec(); err != nil {
			return err
		}
	}
	return nil
}
