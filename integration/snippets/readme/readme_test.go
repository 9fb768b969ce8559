// Package readme runs the test that README.md shows, which is written with
// variables of its package.
package readme

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/idemtxtest"
	"github.com/idemtx/idemtx/internal/devpg"
	"github.com/idemtx/idemtx/scope"
)

const schema = "idemtx_readme"

var (
	store   *idemtx.Store
	request idemtx.Request
)

// placeOrder is the handler.
func placeOrder(ctx context.Context, tx pgx.Tx) (id int64, err error) {
	err = tx.QueryRow(ctx, "INSERT INTO "+schema+".orders DEFAULT VALUES RETURNING id").Scan(&id)
	return id, err
}

func TestMain(m *testing.M) {
	server := devpg.MustStart()
	code, err := run(m, server.URL)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	server.Close()
	os.Exit(code)
}

func run(m *testing.M, url string) (code int, err error) {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return 0, err
	}
	defer pool.Close()
	whose, err := scope.New("", "ann")
	if err != nil {
		return 0, err
	}
	request = idemtx.Request{Scope: whose, Operation: "POST /orders", Key: "k"}
	if store, err = idemtx.New(pool, idemtx.Config{Schema: schema}); err != nil {
		return 0, err
	}
	_, err = pool.Exec(ctx, "DROP SCHEMA IF EXISTS "+schema+" CASCADE")
	if err == nil {
		err = store.CreateSchema(ctx)
	}
	if err == nil {
		_, err = pool.Exec(ctx, "CREATE TABLE "+schema+".orders (id bigint GENERATED ALWAYS AS IDENTITY)")
	}
	if err != nil {
		return 0, err
	}
	defer func() {
		if code == 0 { // a failed test keeps it, for psql
			_, err = pool.Exec(ctx, "DROP SCHEMA "+schema+" CASCADE")
		}
	}()
	return m.Run(), nil
}

//nolint:paralleltest // as README.md shows it
func TestPlaceOrderSurvives(t *testing.T) {
	idemtxtest.Crash(t, store, request, placeOrder) // the function that you give to idemtx.Do
}
