package idemadmin

import (
	"context"
	"time"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/scope"
)

// Look tells what has become of a key. A key that has no row and is not held is
// [StateAbsent], and no error. Nothing is locked or changed.
//
// A row that is dead, or none, counts as in flight while a transaction holds the
// key's lock: the request is being run. So does a key whose lock is held for
// another one of the same number, of which there is one in 2^64.
func Look(ctx context.Context, s *idemtx.Store, sc scope.Scope, key string) (Status, error) {
	at, err := s.Locate(sc, key)
	if err != nil {
		return Status{}, err
	}
	// The lock comes first. A call that ends in between has its row by then; the
	// other way round its key would look as if nobody had ever used it.
	lock, err := holderOf(ctx, s, at.Lock)
	if err != nil {
		return Status{}, failed(ctx, s, "look for the key's lock", err)
	}
	var rows []*record
	if err = selectAll(ctx, s, &rows, "look", at.Scope, at.Key); err != nil {
		return Status{}, failed(ctx, s, "look up the key", err)
	}
	st := Status{State: StateAbsent}
	if len(rows) > 0 {
		st = rows[0].status()
	}
	if lock == nil {
		return st, nil
	}
	st.Pid, st.Prepared = lock.Pid, lock.Prepared
	if st.State == StateAbsent || st.State == StateExpired {
		st.State, st.Since = StateInFlight, orZero(lock.Since)
	}
	return st, nil
}

// holder is the transaction that holds the lock on a key.
type holder struct {
	Pid      int32
	Since    *time.Time
	Prepared string
}

// holderOf returns nil when nobody holds the lock.
func holderOf(ctx context.Context, s *idemtx.Store, lock int64) (*holder, error) {
	var found []*holder
	if err := selectAll(ctx, s, &found, "holder", lock); err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, nil
	}
	return found[0], nil
}
