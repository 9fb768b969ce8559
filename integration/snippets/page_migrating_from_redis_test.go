package snippets

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/scope"
)

func mountBoth(mux *http.ServeMux, redisKeys, idemtxKeys func(http.Handler) http.Handler, createOrder http.Handler) {
	mux.Handle("POST /orders", redisKeys(idemtxKeys(createOrder))) // step 2: Redis outside, and as it was
}

func adopting[T any](
	old func(ctx context.Context) (reply T, found bool, err error),
	work func(ctx context.Context, tx pgx.Tx) (T, error),
) func(ctx context.Context, tx pgx.Tx) (T, error) {
	return func(ctx context.Context, tx pgx.Tx) (T, error) {
		reply, found, err := old(ctx)
		if err != nil || found {
			return reply, err // what Redis has is kept here from now on; after an error nothing is
		}
		return work(ctx, tx)
	}
}

// forgetful keeps replies as a Redis does that has lost them: it never finds any.
func forgetful(next http.Handler) http.Handler { return next }

// The first gap: Redis has never heard of the reply, and the table has it.
func TestMigratingFromRedisWithBoth(t *testing.T) {
	t.Parallel()
	store := newStore(t, idemtx.Config{})
	run(t, store.Pool(), "CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY)")
	protect := idemhttp.Middleware(store, idemhttp.Config{
		Scope: func(*http.Request) (scope.Scope, error) { return whose, nil },
	})
	mux := http.NewServeMux()
	mountBoth(mux, forgetful, protect, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := idemhttp.Tx(r.Context()).Exec(r.Context(), "INSERT INTO orders DEFAULT VALUES")
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	for i := range 2 {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/orders", nil)
		r.Header.Set("Idempotency-Key", "k")
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		require.Equal(t, http.StatusOK, w.Code)
		require.Equal(t, i == 1, w.Header().Get("Idempotency-Replayed") == "true")
	}
	require.Equal(t, 1, ask[int](t, store.Pool(), "SELECT count(*) FROM orders"))
}

func TestMigratingFromRedisByAdopting(t *testing.T) {
	t.Parallel()
	store := newStore(t, idemtx.Config{})
	inFlight := errors.New("in flight in Redis")
	asked, worked := 0, 0
	answers := []struct {
		reply string
		found bool
		err   error
	}{{err: inFlight}, {reply: "of Redis", found: true}, {}}
	old := func(context.Context) (string, bool, error) {
		a := answers[asked]
		asked++
		return a.reply, a.found, a.err
	}
	work := func(context.Context, pgx.Tx) (string, error) {
		worked++
		return "new " + strconv.Itoa(worked), nil
	}
	do := func(key string) (string, error) {
		reply, err := idemtx.Do(t.Context(), store, request("order", key, 1), adopting(old, work))
		return reply.Value, err
	}
	_, err := do("a")
	require.ErrorIs(t, err, inFlight)
	for _, key := range []string{"a", "a", "b", "b"} {
		reply, err := do(key)
		require.NoError(t, err)
		require.Equal(t, map[string]string{"a": "of Redis", "b": "new 1"}[key], reply)
	}
	require.Equal(t, 3, asked)
}
