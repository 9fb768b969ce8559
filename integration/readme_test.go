package integration

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/scope"
)

// shop is what README.md shows.
func shop(ctx context.Context, pool *pgxpool.Pool) (http.Handler, error) {
	store, err := idemtx.New(pool, idemtx.Config{})
	if err != nil {
		return nil, err
	}
	protect := idemhttp.Middleware(store, idemhttp.Config{Scope: customer}) // whose key it is
	order := func(w http.ResponseWriter, r *http.Request) {
		tx := idemhttp.Tx(r.Context()) // commits with the reply, or not at all
		var id int64
		err := tx.QueryRow(r.Context(), "INSERT INTO orders DEFAULT VALUES RETURNING id").Scan(&id)
		if err != nil {
			http.Error(w, "try again", http.StatusInternalServerError) // rolled back
			return
		}
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, "order %d\n", id)
	}
	return protect(http.HandlerFunc(order)), store.CreateSchema(ctx)
}

// receiveEvent is what README.md shows.
func receiveEvent(ctx context.Context, store *idemtx.Store, who scope.Scope, e Event) error {
	work := &pgx.Batch{}
	work.Queue("UPDATE accounts SET balance = balance + $1 WHERE id = $2", e.Amount, e.Account)
	work.Queue("INSERT INTO payments (event) VALUES ($1) RETURNING id", e.ID) // its row is the reply
	_, err := idemtx.DoBatch[Payment](ctx, store, idemtx.Request{
		Scope: who, Operation: "payment.succeeded", Key: e.ID, Payload: e,
	}, work)
	return err
}

// Event is what a webhook tells.
type Event struct {
	ID              string
	Account, Amount int64
}

// Payment is what is made of it.
type Payment struct{ ID int64 }

// customer is whom a service's authentication would name.
func customer(r *http.Request) (scope.Scope, error) { return scope.New("", r.Header.Get("X-Customer")) }

func TestReadmeShowsThisCode(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	source, err := os.ReadFile("readme_test.go")
	require.NoError(t, err)
	for _, name := range []string{"shop", "receiveEvent"} {
		_, block, found := strings.Cut(string(readme), "```go\nfunc "+name+"(")
		require.True(t, found, name)
		block, _, _ = strings.Cut(block, "```")
		require.Contains(t, string(source), "\nfunc "+name+"("+block)
		require.LessOrEqual(t, strings.Count(block, "\n"), 20)
	}
}

func TestReadmeCodePaysOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(p *pgxpool.Config, c *idemtx.Config) {
		p.ConnConfig.RuntimeParams["search_path"] = c.Schema
	})
	exec(t, "CREATE TABLE "+f.schema+".accounts AS SELECT 7::bigint AS id, 100::bigint AS balance; "+
		"CREATE TABLE "+f.schema+".payments (id bigint GENERATED ALWAYS AS IDENTITY, event text NOT NULL)")
	for range 3 {
		require.NoError(t, receiveEvent(t.Context(), f.store, f.scope, Event{ID: "evt_1", Account: 7, Amount: 25}))
	}
	require.EqualValues(t, 125, ask[int64](t, "SELECT balance FROM "+f.schema+".accounts"))
	require.Equal(t, 1, ask[int](t, "SELECT count(*) FROM "+f.schema+".payments"))
}

func TestReadmeCodeOrdersOnce(t *testing.T) {
	t.Parallel()
	// A database of its own, because the code uses the schema public.
	database := "t_" + strings.ToLower(rand.Text())
	exec(t, "CREATE DATABASE "+database)
	t.Cleanup(func() { exec(t, "DROP DATABASE "+database) })
	pool := newPool(t, func(c *pgxpool.Config) {
		c.ConnConfig.Database = database
		c.ConnConfig.RuntimeParams["search_path"] = "public"
	})
	_, err := pool.Exec(t.Context(), "CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY)")
	require.NoError(t, err)
	handler, err := shop(t.Context(), pool)
	require.NoError(t, err)

	for i := range 2 {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/orders", nil)
		r.Header.Set("Idempotency-Key", "5b1a6f4e")
		r.Header.Set("X-Customer", "ann")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		require.Equal(t, http.StatusCreated, w.Code, w.Body)
		require.Equal(t, "order 1\n", w.Body.String())
		require.Equal(t, i > 0, w.Header().Get("Idempotency-Replayed") == "true")
	}
}
