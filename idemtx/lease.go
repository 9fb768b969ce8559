package idemtx

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
)

// Three tries of 2 s with 100 ms and 400 ms between: the caller waits at most
// 6.5 s for the save before it gets its reply with ErrOutcomeUnknown.
const (
	saveTries    = 3
	saveTimeout  = 2 * time.Second
	firstRetryIn = 100 * time.Millisecond
)

// errLeaseLost is the cause of the end of a handler's context.
var errLeaseLost = errors.New("idemtx: the lease ran out and another request has taken the key over")

// underLease calls fn and renews the lease until it returns.
func (cl *claim) underLease(ctx context.Context, fn func(context.Context) (draft, error)) (draft, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	// Not a child of ctx: the handler may go on when its caller has gone.
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		cl.renew(renewing, cancel)
	}()
	defer func() {
		stop()
		<-stopped
		cancel(nil)
	}()
	return fn(ctx)
}

// renew renews the lease four times in its length, so that it outlives two
// failures, until ctx ends.
func (cl *claim) renew(ctx context.Context, lost context.CancelCauseFunc) {
	every := cl.store.config.Lease / 4
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		held, err := cl.extend(ctx, every)
		switch {
		case err != nil && ctx.Err() == nil:
			cl.warn("idemtx: a lease was not renewed", err)
		case err == nil && !held:
			lost(errLeaseLost)
			return
		}
	}
}

// extend renews the lease once, and tells whether the key is still this call's.
func (cl *claim) extend(ctx context.Context, timeout time.Duration) (held bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	tag, err := cl.store.exec(ctx, cl.store.sql.renew,
		cl.call.id.scope, cl.call.id.key, cl.id, cl.store.config.Lease.Microseconds())
	return tag.RowsAffected() > 0, err
}

// seal is tried again as the save is, and while the lease is renewed: it may take as
// long as a service elsewhere does.
func (cl *claim) seal(ctx context.Context, d *draft) error {
	if cl.store.config.Codec == nil {
		return cl.store.seal(ctx, cl.call.id, cl.call.fingerprint, d)
	}
	return retried(ctx, func(ctx context.Context) (final bool, err error) {
		err = cl.store.seal(ctx, cl.call.id, cl.call.fingerprint, d)
		return !errors.Is(err, errUnsealed), err
	})
}

// save stores the reply in place of the claim. The caller's context does not end
// it: the work is done, and its reply is all that keeps it from being repeated.
func (cl *claim) save(ctx context.Context, d draft) (result, error) {
	cl.call.place.asks()
	var w written
	err := retried(ctx, func(ctx context.Context) (final bool, err error) {
		w, err = cl.complete(ctx, d)
		return notStorable(err) || errors.Is(err, errLeaseLost), err
	})
	switch {
	case err == nil:
		return result{row: d.row(cl.call, w)}, nil
	case notStorable(err):
		return result{}, cl.store.notStored(err)
	}
	return cl.unsaved(d, cl.store.failed("save the reply", err))
}

// unsaved is the reply to work that is done and that nobody will know of when the lease
// has ended. One that can never be stored is no reply.
func (cl *claim) unsaved(d draft, err error) (result, error) {
	if errors.Is(err, ErrReplyNotStorable) {
		return result{}, err
	}
	r := result{row: d.row(cl.call, written{})}
	return r, fmt.Errorf("%w: the reply could not be stored: %w", ErrOutcomeUnknown, err)
}

// retried tries a few times, each of which has its own time and not the caller's.
func retried(ctx context.Context, try func(ctx context.Context) (final bool, err error)) error {
	for tries := 0; ; tries++ {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
		final, err := try(ctx)
		cancel()
		if err == nil || final || tries == saveTries-1 {
			return err
		}
		_ = sleep(context.WithoutCancel(ctx), firstRetryIn<<(2*tries))
	}
}

// complete may be called again when its answer was lost: it finds its own row.
func (cl *claim) complete(ctx context.Context, d draft) (written, error) {
	var w written
	err := cl.store.transact(ctx, func(b *pgx.Batch) {
		b.Queue(cl.store.sql.complete, cl.call.id.scope, cl.call.id.key, cl.id,
			string(d.stored.response), d.stored.body, d.refused, cl.call.ttl.Microseconds(),
			d.stored.sealed, cl.store.retained(cl.call.ttl))
	}, func(br pgx.BatchResults) error { return w.scan(br.QueryRow()) })
	if errors.Is(err, pgx.ErrNoRows) {
		err = errLeaseLost
	}
	return w, err
}

// release gives the key back, as far as it is still this call's. A claim whose
// answer was lost may still be under way, or have landed: its end is waited for.
func (cl *claim) release(ctx context.Context, lost bool) {
	ctx, cancel := cleanup(ctx)
	defer cancel()
	err := cl.store.transact(ctx, func(b *pgx.Batch) {
		if lost {
			cl.store.queueLocks(b, cl.call)
		}
		b.Queue(cl.store.sql.release, cl.call.id.scope, cl.call.id.key, cl.id)
	}, func(pgx.BatchResults) error { return nil })
	if err != nil {
		cl.warn("idemtx: a claim was not released; its key is blocked until the lease ends", err)
	}
}

func (cl *claim) warn(message string, err error) {
	cl.store.config.Logger.LogAttrs(context.Background(), slog.LevelWarn, message,
		slog.String("scope", cl.call.scope.LogID()), slog.String("key", redacted(cl.call.id.key)),
		slog.Any("error", cl.store.failed("lease", err)))
}

// redacted is how a key is logged: whoever has it can fetch its reply.
func redacted(key string) string {
	if len(key) <= 8 {
		return hidden
	}
	return key[:8]
}
