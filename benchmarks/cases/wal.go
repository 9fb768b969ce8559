package cases

import (
	"context"
	"fmt"
	"time"

	"github.com/idemtx/idemtx/benchmarks/measure"
)

// wal starts to count the bytes of WAL that the server writes, whoever has it do so.
func (b *Bench) wal(ctx context.Context) (written func() (float64, error), err error) {
	var began string
	if err := b.Admin.QueryRow(ctx, "SELECT pg_current_wal_insert_lsn()::text").Scan(&began); err != nil {
		return nil, err
	}
	return func() (bytes float64, err error) {
		err = b.Admin.QueryRow(ctx, "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), $1::text::pg_lsn)::float8", began).Scan(&bytes)
		return bytes, err
	}, nil
}

// weighed is an entrant with, in the end, a note on what it has written.
func (b *Bench) weighed(e measure.Entrant) (weighed measure.Entrant, note func() string) {
	var bytes, done float64
	serve := e.Slice
	weighed = e
	weighed.Slice = func(ctx context.Context, d time.Duration) measure.Slice {
		written, err := b.wal(ctx)
		slice := serve(ctx, d)
		if err != nil {
			return slice
		}
		if n, err := written(); err == nil {
			bytes, done = bytes+n, done+float64(slice.Done)
		}
		return slice
	}
	return weighed, func() string {
		if done == 0 {
			return ""
		}
		return fmt.Sprintf("%.0f bytes of WAL each", bytes/done)
	}
}
