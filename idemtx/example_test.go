package idemtx_test

import (
	"context"
	"errors"
	"log"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/scope"
)

type payment struct {
	Account string `json:"account"`
	Cents   int64  `json:"cents"`
}

type receipt struct {
	ID int64 `json:"id"`
}

func ExampleNew() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, "postgres://localhost/shop")
	if err != nil {
		log.Fatal(err)
	}
	store, err := idemtx.New(pool, idemtx.Config{TTL: 7 * 24 * time.Hour})
	if err != nil {
		log.Fatal(err)
	}
	if err := store.CreateSchema(ctx); err != nil {
		log.Fatal(err) // lists what is wrong with the table, and the cures
	}
	go func() { _ = store.RunSweeper(ctx, time.Minute) }()
}

// The payment and its receipt are committed together. Whoever sends the key
// again gets the receipt.
func ExampleDo() {
	pay := func(ctx context.Context, store *idemtx.Store, whose scope.Scope, key string, p payment) (receipt, error) {
		reply, err := idemtx.Do(ctx, store, idemtx.Request{
			Scope: whose, Operation: "POST /payments", Key: key, Payload: p,
		}, func(ctx context.Context, tx pgx.Tx) (receipt, error) {
			var r receipt
			err := tx.QueryRow(ctx, "INSERT INTO payments (account, cents) VALUES ($1, $2) RETURNING id",
				p.Account, p.Cents).Scan(&r.ID)
			return r, err
		})
		return reply.Value, err
	}
	_ = pay
}

// What to do about each error.
func ExampleDo_errors() {
	respond := func(err error) (status int) {
		var inFlight *idemtx.InFlightError
		switch {
		case err == nil:
			return 200
		case errors.Is(err, idemtx.ErrInvalidRequest):
			return 400
		case errors.Is(err, idemtx.ErrMismatch):
			return 422 // never succeeds
		case errors.As(err, &inFlight):
			return 409 // with Retry-After: inFlight.RetryAfter
		case errors.Is(err, idemtx.ErrOutcomeUnknown):
			return 503 // a retry with the same key finds out
		}
		return 500 // nothing was done
	}
	_ = respond
}

// A refusal is kept: a retry of the request that was declined is declined, too,
// even when there is money by then.
func ExampleDo_refused() {
	pay := func(ctx context.Context, tx pgx.Tx, p payment) (string, error) {
		tag, err := tx.Exec(ctx, "UPDATE accounts SET cents = cents - $2 WHERE id = $1 AND cents >= $2", p.Account, p.Cents)
		switch {
		case err != nil:
			return "", err // undone and forgotten
		case tag.RowsAffected() == 0:
			return "declined", idemtx.ErrRefused // undone and kept
		}
		return "paid", nil
	}
	_ = pay
}

// The reply becomes a part of the caller's transaction.
func ExampleDoTx() {
	settle := func(ctx context.Context, pool *pgxpool.Pool, store *idemtx.Store, r idemtx.Request) error {
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "UPDATE batches SET settled = true WHERE id = 7"); err != nil {
				return err
			}
			_, err := idemtx.DoTx(ctx, store, tx, r, func(ctx context.Context, tx pgx.Tx) (receipt, error) {
				var rec receipt
				err := tx.QueryRow(ctx, "INSERT INTO payouts DEFAULT VALUES RETURNING id").Scan(&rec.ID)
				return rec, err
			})
			return err
		})
	}
	_ = settle
}

// A call to another service is in no transaction. Give it a key of its own, so
// that it is not repeated where this one is.
func ExampleDoPool() {
	charge := func(ctx context.Context, store *idemtx.Store, r idemtx.Request,
		provider func(ctx context.Context, key string) (receipt, error),
	) (receipt, error) {
		reply, err := idemtx.DoPool(ctx, store, r, func(ctx context.Context) (receipt, error) {
			key, err := idemtx.DownstreamKey(r, "charge")
			if err != nil {
				return receipt{}, err
			}
			return provider(ctx, key)
		})
		if errors.Is(err, idemtx.ErrOutcomeUnknown) {
			log.Print("the charge was made and its receipt is not stored")
			return reply.Value, nil
		}
		return reply.Value, err
	}
	_ = charge
}

// The row-level operations are for frameworks with a flow of their own.
func ExampleStore_PutTx() {
	finish := func(ctx context.Context, tx pgx.Tx, store *idemtx.Store, whose scope.Scope, key string, e idemtx.Entry) error {
		stored, err := store.PutTx(ctx, tx, whose, key, e)
		if err == nil && !stored {
			err = errors.New("another request has answered this key: roll back, and Get its reply")
		}
		return err
	}
	_ = finish
}
