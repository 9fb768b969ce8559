package snippets

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemadmin"
	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/idemui"
	"github.com/idemtx/idemtx/scope"
)

func mountPages(mux *http.ServeMux, store *idemtx.Store, operatorsOnly func(http.Handler) http.Handler) error {
	pages, err := idemui.New(store, idemui.Config{})
	if err != nil {
		return err
	}
	mux.Handle("/idemtx/", operatorsOnly(pages))
	return nil
}

func stateOf(ctx context.Context, store *idemtx.Store, sc scope.Scope, key string) (string, error) {
	status, err := idemadmin.Look(ctx, store, sc, key)
	if err != nil {
		return "", err
	}
	if status.State == idemadmin.StateInFlight && status.Pid != 0 {
		return fmt.Sprintf("in flight in the transaction of backend %d", status.Pid), nil
	}
	return string(status.State), nil
}

func TestOperatingStates(t *testing.T) {
	t.Parallel()
	store := newStore(t, idemtx.Config{})
	is := func(want string) {
		got, err := stateOf(t.Context(), store, whose, "k")
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	is("absent")
	_, err := idemtx.Do(t.Context(), store, request("order", "k", 1), func(_ context.Context, tx pgx.Tx) (string, error) {
		is(fmt.Sprintf("in flight in the transaction of backend %d", tx.Conn().PgConn().PID()))
		return "lamp", nil
	})
	require.NoError(t, err)
	is("answered")
	forgotten, err := idemadmin.Forget(t.Context(), store, whose, "k")
	require.NoError(t, err)
	require.True(t, forgotten)
	is("absent")
}

func TestOperatingPages(t *testing.T) {
	t.Parallel()
	nobody := func(http.Handler) http.Handler { return http.NotFoundHandler() }
	everybody := func(next http.Handler) http.Handler { return next }
	for want, gate := range map[int]func(http.Handler) http.Handler{http.StatusNotFound: nobody, http.StatusOK: everybody} {
		mux := http.NewServeMux()
		require.NoError(t, mountPages(mux, newStore(t, idemtx.Config{}), gate))
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/idemtx/", nil))
		require.Equal(t, want, w.Code, w.Body)
	}
}
