package idemadmin

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/idemtx/idemtx/idemtx"
)

// Flight is a live claim of pool mode.
type Flight struct {
	ScopeLogID string    `db:"scope_log_id"`
	Key        string    // its first 8 characters, or **** when it has no more
	Since      time.Time // when it was claimed
	LeaseUntil time.Time // it is renewed while the handler runs
}

// maxLimit bounds what one call of InFlight or Search returns.
const maxLimit = 10_000

// InFlight returns up to limit live claims of pool mode, the oldest first. limit
// is from 1 to 10,000. Calls of the other modes have no row before they commit; of
// one of them, [Look] can tell. It reads the whole table.
func InFlight(ctx context.Context, s *idemtx.Store, limit int) ([]Flight, error) {
	if err := validLimit(limit); err != nil {
		return nil, err
	}
	var flights []Flight
	if err := selectAll(ctx, s, &flights, "flights", limit); err != nil {
		return nil, failed(ctx, s, "list the claims", err)
	}
	return flights, nil
}

var logID = regexp.MustCompile(`^sha256:[0-9a-f]{12}$`)

// Search returns up to limit rows of the scope with this LogID, the newest first,
// so that what a log tells can be looked up without knowing whose it is. limit is
// from 1 to 10,000. Locks are not looked at. It reads the whole table.
func Search(ctx context.Context, s *idemtx.Store, scopeLogID string, limit int) ([]Entry, error) {
	if !logID.MatchString(scopeLogID) {
		return nil, fmt.Errorf("%w: the LogID must match %s", idemtx.ErrInvalidRequest, logID)
	}
	if err := validLimit(limit); err != nil {
		return nil, err
	}
	var rows []*record
	if err := selectAll(ctx, s, &rows, "search", scopeLogID, limit); err != nil {
		return nil, failed(ctx, s, "search for the scope", err)
	}
	entries := make([]Entry, len(rows))
	for i, r := range rows {
		entries[i] = Entry{Status: r.status(), ScopeLogID: r.ScopeLogID, Key: r.RedactedKey}
	}
	return entries, nil
}

func validLimit(limit int) error {
	if limit < 1 || limit > maxLimit {
		return fmt.Errorf("%w: the limit must be between 1 and %d", idemtx.ErrInvalidRequest, maxLimit)
	}
	return nil
}
