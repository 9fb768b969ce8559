package integration

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// BenchmarkFirst is a request that was never seen, in each mode, beside the
// transaction that it stands for. Compare ratios of one run.
func BenchmarkFirst(b *testing.B) {
	b.Run("plain", func(b *testing.B) {
		f := newFixture(b)
		parallel(b, func(ctx context.Context, key string) error {
			return pgx.BeginFunc(ctx, f.pool, func(tx pgx.Tx) error {
				_, err := f.effect(ctx, tx, key)
				return err
			})
		})
	})
	for _, m := range modes {
		b.Run(string(m.name), func(b *testing.B) {
			f := newFixture(b)
			parallel(b, func(ctx context.Context, key string) error {
				_, err := m.do(ctx, f, f.request(key), effect(f, key))
				return err
			})
		})
	}
}

// BenchmarkReplay is a request that was answered before, beside the bare SELECT
// of its row.
func BenchmarkReplay(b *testing.B) {
	const keys = 1000
	f := newFixture(b)
	for i := range keys {
		key := strconv.Itoa(i)
		_, err := idemtx.Do(b.Context(), f.store, f.request(key), f.handler(key))
		require.NoError(b, err)
	}
	again := func(key string) string {
		n, err := strconv.Atoi(key)
		require.NoError(b, err)
		return strconv.Itoa(n % keys)
	}
	b.Run("select", func(b *testing.B) {
		parallel(b, func(ctx context.Context, key string) error {
			_, err := f.store.Get(ctx, f.scope, again(key))
			return err
		})
	})
	for _, m := range modes {
		b.Run(string(m.name), func(b *testing.B) {
			parallel(b, func(ctx context.Context, key string) error {
				key = again(key)
				_, err := m.do(ctx, f, f.request(key), mustNotRun(b))
				return err
			})
		})
	}
}

// parallel calls once with a key of its own each time, from as many goroutines
// as the pool has connections, or thereabouts.
func parallel(b *testing.B, once func(ctx context.Context, key string) error) {
	b.Helper()
	b.ReportAllocs()
	b.SetParallelism(2)
	var n atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := once(b.Context(), strconv.FormatInt(n.Add(1), 10)); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
