package idemtx

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
)

// sweepBatch is how many rows RunSweeper deletes in one transaction: few enough
// to be over in milliseconds, enough to keep up with what is inserted meanwhile.
const sweepBatch = 1000

// sweepRests is how many times as long as a batch took RunSweeper waits before the
// next one. Requests that meet a batch take longer; few enough do.
const sweepRests = 3

// sweepCalm is how long a sweep rests between its batches. One that has not caught up
// by then does not: slower requests are better than a table that grows without bound.
const sweepCalm = 10 * time.Minute

// sweepDoublings is how often RunSweeper waits for twice as long, when rounds fail one
// after the other.
const sweepDoublings = 4

// maxSweepBatch bounds one transaction of DeleteExpired.
const maxSweepBatch = 100_000

// byIndex has the rows of a batch found by the primary key. PostgreSQL does not count on
// each being in one partition, and would rather read all of them. Nor is so short a
// statement worth compiling, however many partitions it names.
const byIndex = `SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
	set_config('jit', 'off', true)`

// DeleteExpired deletes up to limit rows that have expired, the oldest first, in
// one transaction, and returns how many. limit is from 1 to 100,000; when as many
// were deleted, there may be more. It never waits for a row that another
// transaction has locked, and never deletes a live reply or a claim whose lease
// holds.
//
// Of a row whose key is retained it deletes the reply, which counts as well; the rest
// is deleted at the end of its retention.
func (s *Store) DeleteExpired(ctx context.Context, limit int) (int64, error) {
	if limit < 1 || limit > maxSweepBatch {
		return 0, invalid("the limit must be between 1 and %d", maxSweepBatch)
	}
	swept, err := s.sweepOnce(ctx, limit, nil)
	return swept.Deleted + swept.Buried, err
}

// RunSweeper deletes what has expired, at once and then every so often, until ctx
// ends, whose error it returns. While there is much to delete it works a quarter of
// the time, and after ten minutes of that all the time until it has caught up.
//
// It may run on every replica at once: a batch that meets another replica's does
// nothing and leaves the round to that one, and the intervals differ by up to a tenth,
// so that replicas that were started together do not stay together. Nobody waits. An
// error of the database is logged, and the next round tries again, after twice the time
// as long as they fail and at most sixteen times as long as usual. A [SweepTracer] hears
// of each batch.
func (s *Store) RunSweeper(ctx context.Context, every time.Duration) error {
	if every <= 0 {
		return invalid("the sweeper's interval must be positive")
	}
	return rounds(ctx, min(every, maxTTL), func() error { // nothing lives longer
		err := s.sweep(ctx)
		if err != nil && ctx.Err() == nil {
			s.config.Logger.LogAttrs(ctx, slog.LevelError, "idemtx: sweep failed", slog.Any("error", err))
		}
		return err
	})
}

// rounds sweeps until ctx ends, and more rarely while that fails.
func rounds(ctx context.Context, every time.Duration, sweep func() error) error {
	for failures := 0; ; {
		err := sweep()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			failures++
		default:
			failures = 0
		}
		if err := sleep(ctx, jittered(every<<min(failures, sweepDoublings))); err != nil {
			return err
		}
	}
}

// jittered is d give or take a tenth.
func jittered(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5+1)
}

// sweep deletes batches until one is not full, or another replica is at it.
func (s *Store) sweep(ctx context.Context) error {
	lock := sweepLock(s.config.Schema, s.config.Table)
	return paced(ctx, func() (full bool, err error) {
		swept, err := s.sweepOnce(ctx, sweepBatch, &lock)
		return swept.Deleted+swept.Buried == sweepBatch, err
	})
}

// sweepOnce deletes a batch. Under a lock it does nothing while another has that.
func (s *Store) sweepOnce(ctx context.Context, limit int, lock *int64) (swept TraceSweepData, err error) {
	began := time.Now()
	var ours bool
	err = s.transact(ctx, func(b *pgx.Batch) {
		b.Queue(byIndex)
		b.Queue(s.sql.sweep, limit, lock)
	}, func(br pgx.BatchResults) error {
		if err := skip(br, 1); err != nil {
			return err
		}
		return br.QueryRow().Scan(&ours, &swept.Deleted, &swept.Buried)
	})
	if err != nil {
		swept, err = TraceSweepData{}, s.failed("delete expired rows", err)
	}
	if tracer, ok := s.config.Tracer.(SweepTracer); ok {
		swept.Duration, swept.Skipped, swept.Err = time.Since(began), err == nil && !ours, err
		tracer.TraceSweep(ctx, swept)
	}
	return swept, err
}

// sweepLock is the advisory lock of those that sweep a table. Another number would let
// two of them work at once, and no worse.
func sweepLock(schema, table string) int64 {
	return keyLock(schema, table, keyID{key: "idemtx sweep lock v1"})
}

// paced deletes batches until one is not full, and rests in between.
func paced(ctx context.Context, deleteBatch func() (full bool, err error)) error {
	for start := time.Now(); ; {
		began := time.Now()
		full, err := deleteBatch()
		switch {
		case err != nil || !full:
			return err
		case began.Sub(start) >= sweepCalm:
			continue
		}
		if err := sleep(ctx, sweepRests*time.Since(began)); err != nil {
			return err
		}
	}
}
