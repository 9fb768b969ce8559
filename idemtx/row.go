package idemtx

import (
	"bytes"
	"encoding/json"
	"errors"
	"time"

	"github.com/georgysavva/scany/v2/pgxscan"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// row is what the table holds of one key. It is never changed once it is read:
// callers behind in the line may be given it too.
type row struct {
	Fingerprint []byte
	Response    []byte // nil in a claim; the JSON null is four bytes
	Body        []byte
	Refused     bool
	CreatedAt   time.Time
	ExpiresAt   time.Time
	LeaseID     pgtype.UUID
	LeaseLeft   *float64 // seconds; nil in an answer
	Live        bool
}

// lockState is the answer to lock.sql.
type lockState struct {
	Held        bool
	BegunAt     time.Time
	LockTimeout string
	Isolation   string
}

// written is what the server made of a reply's times.
type written struct {
	CreatedAt, ExpiresAt time.Time
}

func (r *row) claimed() bool { return r.Response == nil }

func (r *row) has(f Fingerprint) bool { return bytes.Equal(r.Fingerprint, f[:]) }

// leaseLeft is how long a live claim holds unless it is renewed.
func (r *row) leaseLeft() time.Duration {
	if r.LeaseLeft == nil {
		return 0
	}
	// The statement has read the clock again after it had found the row alive.
	return max(0, time.Duration(*r.LeaseLeft*float64(time.Second)))
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

// scanRow reads the answer to look.sql. Without a row it returns nil.
func scanRow(br pgx.BatchResults) (*row, error) {
	r := new(row)
	err := scanOne(br, r)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// scanOne reads the next result of a batch, which is one row, into dst.
func scanOne(br pgx.BatchResults, dst any) error {
	rows, err := br.Query()
	if err != nil {
		return err
	}
	return pgxscan.ScanOne(dst, rows)
}

// skip reads n results of a batch that hold nothing to know.
func skip(br pgx.BatchResults, n int) error {
	for range n {
		if _, err := br.Exec(); err != nil {
			return err
		}
	}
	return nil
}
