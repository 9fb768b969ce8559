package idemtx_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/scope"
)

// open returns a store for the examples. It does not connect.
func open(config idemtx.Config) *idemtx.Store {
	pool, err := pgxpool.New(context.Background(), "postgres://localhost/shop")
	if err != nil {
		log.Fatal(err)
	}
	store, err := idemtx.New(pool, config)
	if err != nil {
		log.Fatal(err)
	}
	return store
}

func ExampleStore_Config() {
	store := open(idemtx.Config{TTL: time.Hour})
	defer store.Pool().Close()
	fmt.Println(store.Config().TTL, store.Config().MaxWait, store.Config().Table)

	// Output: 1h0m0s 10s idemtx_replies
}

// The statements go into a migration of whatever tool applies yours.
func ExampleStore_SchemaSQL() {
	store := open(idemtx.Config{Schema: "shop"})
	defer store.Pool().Close()
	for line := range strings.Lines(store.SchemaSQL()) {
		if strings.HasPrefix(line, "CREATE") {
			fmt.Print(line)
		}
	}

	// Output:
	// CREATE SCHEMA IF NOT EXISTS "shop";
	// CREATE TABLE IF NOT EXISTS "shop"."idemtx_replies" (
	// CREATE INDEX IF NOT EXISTS "idemtx_replies_expires_at_idx" ON "shop"."idemtx_replies" (expires_at);
}

// At the start of a service whose role may only read and write rows: the table is there
// and nothing is done. In development, the table is made.
func ExampleStore_CreateSchema() {
	start := func(ctx context.Context, store *idemtx.Store) error {
		err := store.CreateSchema(ctx)
		var differs *idemtx.SchemaError
		if errors.As(err, &differs) {
			for _, difference := range differs.Differences {
				log.Print(difference) // ends with its cure
			}
		}
		return err
	}
	_ = start
}

// A service whose table is made by migrations checks it before it serves.
func ExampleStore_VerifySchema() {
	ready := func(ctx context.Context, store *idemtx.Store) error {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		return store.VerifySchema(ctx)
	}
	_ = ready
}

// The sweeper runs until the service ends. It may do so in each replica.
func ExampleStore_RunSweeper() {
	serve := func(ctx context.Context, store *idemtx.Store, listen func(ctx context.Context) error) error {
		ctx, stop := context.WithCancel(ctx)
		swept := make(chan struct{})
		go func() {
			defer close(swept)
			_ = store.RunSweeper(ctx, time.Minute) // the context's error
		}()
		defer func() {
			stop()
			<-swept
		}()
		return listen(ctx)
	}
	_ = serve
}

// A scheduler that the service has already calls this from time to time.
func ExampleStore_DeleteExpired() {
	sweep := func(ctx context.Context, store *idemtx.Store) error {
		const batch = 1000
		for {
			n, err := store.DeleteExpired(ctx, batch)
			if err != nil || n < batch {
				return err
			}
		}
	}
	_ = sweep
}

// A client asks what became of its payment, by the key that it was sent with.
func ExampleStore_Get() {
	find := func(ctx context.Context, store *idemtx.Store, whose scope.Scope, key string) (r receipt, found bool, err error) {
		entry, err := store.Get(ctx, whose, key)
		if errors.Is(err, idemtx.ErrNotFound) {
			return r, false, nil // never sent, expired, or in flight
		}
		if err != nil {
			return r, false, err
		}
		return r, true, json.Unmarshal(entry.Response, &r)
	}
	_ = find
}

// What a transaction has put it sees before it is committed.
func ExampleStore_GetTx() {
	answered := func(ctx context.Context, tx pgx.Tx, store *idemtx.Store, whose scope.Scope, key string) (bool, error) {
		_, err := store.GetTx(ctx, tx, whose, key)
		if errors.Is(err, idemtx.ErrNotFound) {
			return false, nil
		}
		return err == nil, err
	}
	_ = answered
}

// A framework that saves replies by itself, after the work has committed. A process
// that dies in front of Put has done the work and kept nothing: PutTx has no such gap.
func ExampleStore_Put() {
	save := func(ctx context.Context, store *idemtx.Store, r idemtx.Request, reply json.RawMessage) (json.RawMessage, error) {
		print, err := idemtx.FingerprintOf(r.Operation, r.Payload)
		if err != nil {
			return nil, err
		}
		stored, err := store.Put(ctx, r.Scope, r.Key, idemtx.Entry{Fingerprint: print, Response: reply})
		if err != nil || stored {
			return reply, err
		}
		first, err := store.Get(ctx, r.Scope, r.Key) // the one that every retry gets
		return first.Response, err
	}
	_ = save
}

// Which backend works on a request at the moment? Its lock tells.
func ExampleStore_Locate() {
	store := open(idemtx.Config{})
	defer store.Pool().Close()
	whose, err := scope.New("acme", "alice")
	if err != nil {
		log.Fatal(err)
	}
	at, err := store.Locate(whose, "8e03978e-40d5-43dd-bc93-6894a57f9324")
	if err != nil {
		log.Fatal(err)
	}
	holder := func(ctx context.Context) (pid int32, err error) {
		err = store.Pool().QueryRow(ctx, `SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
			AND classid::bigint = $1 AND objid::bigint = $2`, int64(uint64(at.Lock)>>32), int64(uint32(at.Lock))).Scan(&pid)
		return pid, err
	}
	_ = holder
	fmt.Printf("%q\n", at.Scope)

	// Output: "acme\x1ealice"
}

// The pool of a store is the caller's.
func ExampleStore_Pool() {
	begin := func(ctx context.Context, store *idemtx.Store, r idemtx.Request) error {
		return pgx.BeginFunc(ctx, store.Pool(), func(tx pgx.Tx) error {
			_, err := idemtx.DoTx(ctx, store, tx, r, func(context.Context, pgx.Tx) (receipt, error) {
				return receipt{ID: 1}, nil
			})
			return err
		})
	}
	_ = begin
}
