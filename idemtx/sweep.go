package idemtx

import (
	"context"
	"log/slog"
	"time"
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

// maxSweepBatch bounds one transaction of DeleteExpired.
const maxSweepBatch = 100_000

// DeleteExpired deletes up to limit rows that have expired, the oldest first, in
// one transaction, and returns how many. limit is from 1 to 100,000; when as many
// were deleted, there may be more. It never waits for a row that another
// transaction has locked, and never deletes a live reply or a claim whose lease
// holds.
func (s *Store) DeleteExpired(ctx context.Context, limit int) (int64, error) {
	if limit < 1 || limit > maxSweepBatch {
		return 0, invalid("the limit must be between 1 and %d", maxSweepBatch)
	}
	tag, err := s.exec(ctx, s.sql.sweep, limit)
	if err != nil {
		return 0, s.failed("delete expired rows", err)
	}
	return tag.RowsAffected(), nil
}

// RunSweeper deletes what has expired, at once and then every so often, until ctx
// ends, whose error it returns. While there is much to delete it works a quarter of
// the time, and after ten minutes of that all the time until it has caught up. It may
// run on every replica at once: two sweepers never wait for each other. An error of
// the database is logged, and the next round tries again.
func (s *Store) RunSweeper(ctx context.Context, every time.Duration) error {
	if every <= 0 {
		return invalid("the sweeper's interval must be positive")
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		if err := s.sweep(ctx); err != nil && ctx.Err() == nil {
			s.config.Logger.LogAttrs(ctx, slog.LevelError, "idemtx: sweep failed", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// sweep deletes batches until one is not full.
func (s *Store) sweep(ctx context.Context) error {
	return paced(ctx, func() (full bool, err error) {
		n, err := s.DeleteExpired(ctx, sweepBatch)
		return n == sweepBatch, err
	})
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
