package integration

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemcache"
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

// BenchmarkReplayCached is a request whose reply is in the cache, from one goroutine
// and from many.
func BenchmarkReplayCached(b *testing.B) {
	const keys = 1000
	f := newFixture(b, withCache(newCache(b, idemcache.Config{})))
	requests := make([]idemtx.Request, keys)
	for i := range requests {
		requests[i] = f.request(strconv.Itoa(i))
		_, err := idemtx.Do(b.Context(), f.store, requests[i], f.handler(requests[i].Key))
		require.NoError(b, err)
	}
	f.pool.Close() // nothing below asks the server
	again := func(ctx context.Context, i int64) error {
		_, err := idemtx.Do(ctx, f.store, requests[i%keys], func(context.Context, pgx.Tx) (order, error) {
			return order{}, errors.New("the handler ran")
		})
		return err
	}
	b.Run("one", func(b *testing.B) {
		b.ReportAllocs()
		var i int64
		for b.Loop() {
			i++
			if err := again(b.Context(), i); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		var n atomic.Int64
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := again(b.Context(), n.Add(1)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
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
