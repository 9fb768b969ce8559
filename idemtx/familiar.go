package idemtx

import (
	"context"
	"errors"
	"sync/atomic"
)

// familiar is the keys that this process has lately answered. A request with one of
// them is a replay, as likely as not, and begins with a look instead of a transaction.
// It forgets a key for another with the same place, and may be wrong about any: then
// the look was in vain.
type familiar struct {
	places [1 << 16]atomic.Uint32 // by the lowest bits of a key's lock, which is a hash
}

func (f *familiar) place(key int64) *atomic.Uint32 {
	return &f.places[uint64(key)%uint64(len(f.places))]
}

// mark is what a key leaves at its place: its highest bits, and not the 0 of nobody.
func mark(key int64) uint32 { return uint32(key>>32) | 1 }

func (f *familiar) note(key int64) { f.place(key).Store(mark(key)) }

func (f *familiar) has(key int64) bool { return f.place(key).Load() == mark(key) }

func (f *familiar) forget(key int64) { f.place(key).CompareAndSwap(mark(key), 0) }

// peek answers with the row of a familiar key, unless it takes more than a look to
// tell what it means.
func (s *Store) peek(ctx context.Context, c *call) (*row, error) {
	if !s.familiar.has(c.keyLock) {
		return nil, nil
	}
	c.place.asks()
	r, err := s.look(ctx, s.pool, c.id)
	if err != nil {
		return nil, nil // what comes now will fail too, and better
	}
	answer, err := c.judge(r, s.config.OnExpired)
	if answer != nil && !answer.Unconfirmed || errors.Is(err, ErrMismatch) {
		return answer, err
	}
	s.familiar.forget(c.keyLock)
	return nil, nil
}
