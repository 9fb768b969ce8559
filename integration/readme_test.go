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

// customer is whom a service's authentication would name.
func customer(r *http.Request) (scope.Scope, error) { return scope.New("", r.Header.Get("X-Customer")) }

func TestReadmeShowsThisCode(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	_, block, found := strings.Cut(string(readme), "```go\n")
	require.True(t, found)
	block, _, _ = strings.Cut(block, "```")
	source, err := os.ReadFile("readme_test.go")
	require.NoError(t, err)
	require.Contains(t, string(source), block)
	require.LessOrEqual(t, strings.Count(block, "\n"), 20)
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
