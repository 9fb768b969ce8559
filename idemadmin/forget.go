package idemadmin

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/scope"
)

// Forget deletes what is stored of a key, and tells whether there was anything:
// a reply, what was kept of one, or a claim whose lease has ended. The next
// request with the key **does the work again**. A key in flight is left alone, and the
// error is [idemtx.ErrInFlight].
//
// A request that begins meanwhile is not stopped, and its reply is not deleted. Where [idemtx.Config.Cache] is set, a process that
// has the reply in memory goes on giving it until it drops out.
func Forget(ctx context.Context, s *idemtx.Store, sc scope.Scope, key string) (bool, error) {
	at, err := s.Locate(sc, key)
	if err != nil {
		return false, err
	}
	// The lock is looked at and not taken: to hold it without that of the request's
	// fingerprint would have a request with the same payload refused as another one
	// (sql/probe.sql of idemtx). A call that takes it behind this writes its reply after
	// now, and that stays.
	var now time.Time
	if err := s.Pool().QueryRow(ctx, "SELECT clock_timestamp()", pgx.QueryExecModeExec).Scan(&now); err != nil {
		return false, failed(ctx, s, "ask for the time", err)
	}
	lock, err := holderOf(ctx, s, at.Lock)
	switch {
	case err != nil:
		return false, failed(ctx, s, "look for the key's lock", err)
	case lock != nil:
		return false, idemtx.ErrInFlight
	}
	tag, err := s.Pool().Exec(ctx, statement(s, "forget"), pgx.QueryExecModeExec, at.Scope, at.Key, now)
	if err != nil {
		return false, failed(ctx, s, "forget the key", err)
	}
	if tag.RowsAffected() > 0 {
		return true, nil
	}
	var claimed bool
	if err = s.Pool().QueryRow(ctx, statement(s, "claimed"), pgx.QueryExecModeExec, at.Scope, at.Key).Scan(&claimed); err != nil {
		return false, failed(ctx, s, "look up the key", err)
	}
	if claimed {
		return false, idemtx.ErrInFlight
	}
	return false, nil
}
