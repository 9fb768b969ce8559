package main

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/idemui"
	"github.com/idemtx/idemtx/internal/devpg"
)

//go:embed schema.sql
var schemaSQL string

// schemaTimeout bounds the making and the dropping of the schema. Neither ends
// with a Ctrl-C, which would leave half of it behind.
const schemaTimeout = 30 * time.Second

// memory is how long keys are remembered, by the provider as by the service.
//
// It is longer than a mail is tried, or the last attempt would send it again: the 25
// attempts of River take three weeks. For a provider who forgets sooner, set
// MaxAttempts. And the service must not forget first: the same key would then place
// another order, whose mail the provider refuses, because it knows the key of the
// mail from the first.
const memory = 30 * 24 * time.Hour

// database is a schema. One with a random name is for this process alone: it can be
// nobody else's, so it can be dropped without asking.
type database struct {
	server *devpg.Server
	schema string
	stays  bool
	pool   *pgxpool.Pool
	store  *idemtx.Store
	ledger ledger
	mails  *provider
}

// openDatabase has the tables made, where they are missing, in a schema that stays, or
// in one of its own. What it returns must be closed.
func openDatabase(ctx context.Context, schema string) (*database, error) {
	server, err := devpg.Start(ctx, func(line string) { fmt.Fprintln(os.Stderr, line) })
	if err != nil {
		return nil, err
	}
	db := &database{server: server, schema: schema, stays: true}
	if schema == "" {
		db.schema, db.stays = "idemtx_orders_example_"+strings.ToLower(rand.Text()[:8]), false
	}
	if db.pool, db.store, db.ledger, err = connect(ctx, server.URL, db.schema, 0); err != nil {
		server.Close()
		return nil, err
	}
	if db.mails, err = newProvider(db.pool, db.schema); err != nil {
		return nil, errors.Join(err, db.close())
	}
	if err := db.create(ctx); err != nil {
		return nil, errors.Join(err, db.close())
	}
	end := "is dropped at the end"
	if db.stays {
		end = "stays"
	}
	fmt.Fprintf(os.Stderr, "orders: the tables are in schema %s, which %s\n", db.schema, end)
	return db, nil
}

// connect returns what works in a schema, and makes nothing there. A lease of 0 is the
// usual one.
func connect(ctx context.Context, url, schema string, lease time.Duration) (*pgxpool.Pool, *idemtx.Store, ledger, error) {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return nil, nil, ledger{}, err
	}
	store, err := idemtx.New(pool, idemtx.Config{
		Schema: schema,
		TTL:    memory,
		Lease:  lease,
		Logger: slog.Default(),
		Tracer: new(idemui.Recorder), // which the pages read
	})
	if err != nil {
		pool.Close()
		return nil, nil, ledger{}, err
	}
	return pool, store, ledger{schema: pgx.Identifier{schema}.Sanitize()}, nil
}

// create makes what is missing, one replica at a time: the lock is held in a
// transaction of its own, and ends with it.
func (db *database) create(ctx context.Context) error {
	return pgx.BeginFunc(ctx, db.pool, func(lock pgx.Tx) error {
		var exists bool
		// In two statements: the second is to see what was made while the first waited.
		if _, err := lock.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", "orders "+db.schema); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), schemaTimeout)
		defer cancel()
		if err := lock.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", db.ledger.schema+".stock").Scan(&exists); err != nil {
			return err
		}
		if !exists {
			if _, err := db.pool.Exec(ctx, strings.ReplaceAll(schemaSQL, "{schema}", db.ledger.schema)); err != nil {
				return fmt.Errorf("create schema %s: %w", db.schema, err)
			}
		}
		if err := errors.Join(db.store.CreateSchema(ctx), db.mails.store.CreateSchema(ctx)); err != nil {
			return err
		}
		return migrateRiver(ctx, db.pool, db.schema)
	})
}

// close leaves nothing behind but a schema that stays.
func (db *database) close() error {
	defer db.server.Close()
	defer db.pool.Close()
	if db.stays {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), schemaTimeout)
	defer cancel()
	_, err := db.pool.Exec(ctx, "DROP SCHEMA IF EXISTS "+db.ledger.schema+" CASCADE")
	if err != nil {
		err = fmt.Errorf("schema %s is left behind: %w", db.schema, err)
	}
	return err
}
