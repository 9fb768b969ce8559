package idemtxtest_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/idemtxtest"
)

// The handler is told which request it runs for, as each run has a key of its own.
func ExampleRequest() {
	test := func(t *testing.T, store *idemtx.Store, r idemtx.Request) {
		idemtxtest.Crash(t, store, r, func(ctx context.Context, tx pgx.Tx) (ticket, error) {
			_, err := tx.Exec(ctx, "INSERT INTO tickets (name) VALUES ($1)", "ticket "+idemtxtest.Request(ctx).Key)
			return ticket{}, err
		})
	}
	_ = test
}

// A column that holds the hour is often the same in two runs, and sometimes not.
func ExampleIgnore() {
	test := func(t *testing.T, store *idemtx.Store, r idemtx.Request) {
		idemtxtest.Crash(t, store, r, func(ctx context.Context, tx pgx.Tx) (ticket, error) {
			_, err := tx.Exec(ctx, "INSERT INTO visits (hour) VALUES (extract(hour FROM clock_timestamp()))")
			return ticket{}, err
		}, idemtxtest.Ignore("public.visits", "hour"), idemtxtest.Ignore("public.statistics"))
	}
	_ = test
}

// A database in which other tests write, too.
func ExampleOnly() {
	test := func(t *testing.T, store *idemtx.Store, r idemtx.Request) {
		idemtxtest.Crash(t, store, r, func(ctx context.Context, tx pgx.Tx) (ticket, error) {
			return takeSeat(ctx, tx, 12)
		}, idemtxtest.Only("sales", "public.seats"))
	}
	_ = test
}

// The service's role sees the rows of one tenant, and the test wants to see all.
func ExampleObserver() {
	test := func(t *testing.T, store *idemtx.Store, owner *pgxpool.Pool, r idemtx.Request) {
		idemtxtest.Crash(t, store, r, func(ctx context.Context, tx pgx.Tx) (ticket, error) {
			return takeSeat(ctx, tx, 12)
		}, idemtxtest.Observer(owner))
	}
	_ = test
}

// A seat can be taken once, so it is free again before each run.
func ExampleReset() {
	test := func(t *testing.T, store *idemtx.Store, r idemtx.Request) {
		idemtxtest.Crash(t, store, r, func(ctx context.Context, tx pgx.Tx) (ticket, error) {
			return takeSeat(ctx, tx, 12)
		}, idemtxtest.Reset(func(ctx context.Context) error {
			_, err := store.Pool().Exec(ctx, "UPDATE seats SET taken = false; DELETE FROM queue")
			return err
		}))
	}
	_ = test
}
