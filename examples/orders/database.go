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
	"github.com/idemtx/idemtx/internal/devpg"
)

//go:embed schema.sql
var schemaSQL string

// schemaTimeout bounds the making and the dropping of the schema. Neither ends
// with a Ctrl-C, which would leave half of it behind.
const schemaTimeout = 30 * time.Second

// database is a schema with a random name, for this process alone: it can be
// nobody else's, so it can be dropped without asking.
type database struct {
	server *devpg.Server
	schema string
	pool   *pgxpool.Pool
	store  *idemtx.Store
	ledger ledger
}

// openDatabase has the tables made. What it returns must be closed.
func openDatabase(ctx context.Context) (*database, error) {
	server, err := devpg.Start(ctx, func(line string) { fmt.Fprintln(os.Stderr, line) })
	if err != nil {
		return nil, err
	}
	db := &database{server: server, schema: "idemtx_orders_example_" + strings.ToLower(rand.Text()[:8])}
	if db.pool, db.store, db.ledger, err = connect(ctx, server.URL, db.schema, 0); err != nil {
		server.Close()
		return nil, err
	}
	if err := db.create(ctx); err != nil {
		return nil, errors.Join(err, db.close())
	}
	fmt.Fprintf(os.Stderr, "orders: the tables are in schema %s, which is dropped at the end\n", db.schema)
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
		Lease:  lease,
		Logger: slog.Default(),
	})
	if err != nil {
		pool.Close()
		return nil, nil, ledger{}, err
	}
	return pool, store, ledger{schema: pgx.Identifier{schema}.Sanitize()}, nil
}

func (db *database) create(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), schemaTimeout)
	defer cancel()
	if _, err := db.pool.Exec(ctx, strings.ReplaceAll(schemaSQL, "{schema}", db.ledger.schema)); err != nil {
		return fmt.Errorf("create schema %s: %w", db.schema, err)
	}
	return db.store.CreateSchema(ctx)
}

// close leaves nothing behind.
func (db *database) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), schemaTimeout)
	defer cancel()
	_, err := db.pool.Exec(ctx, "DROP SCHEMA IF EXISTS "+db.ledger.schema+" CASCADE")
	if err != nil {
		err = fmt.Errorf("schema %s is left behind: %w", db.schema, err)
	}
	db.pool.Close()
	db.server.Close()
	return err
}
