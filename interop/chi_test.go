package interop

import (
	"net/http"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
)

func newChi() *chi.Mux {
	mux := chi.NewRouter()
	mux.Use(quietly, middleware.Recoverer, outer)
	return mux
}

// quiet is a log that keeps recovered panics out of the tests' output.
type quiet struct{}

func (quiet) Write(int, int, http.Header, time.Duration, any) {}
func (quiet) Panic(any, []byte)                               {}

func quietly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, middleware.WithLogEntry(r, quiet{}))
	})
}

func serveChiWith(t *testing.T, p *idemhttp.Protection, handle handler) string {
	t.Helper()
	mux := newChi()
	mux.Route("/shop", func(shop chi.Router) {
		shop.With(p.Handler).Post("/orders/{id}", handle.ServeHTTP)
		shop.With(p.Handler).Get("/orders/{id}", handle.ServeHTTP)
	})
	return listen(t, mux)
}

func serveChiWhole(t *testing.T, p *idemhttp.Protection, handle handler) string {
	t.Helper()
	none := func(next http.Handler) http.Handler { return next }
	return listen(t, recovery(outer(p.Handler(chiUsing(none, handle)))))
}

func serveChiUse(t *testing.T, p *idemhttp.Protection, handle handler) string {
	t.Helper()
	mux := newChi()
	mux.Mount("/", chiUsing(Chi(p), handle))
	return listen(t, mux)
}

// chiUsing has the middleware above two levels of routers.
func chiUsing(protect func(http.Handler) http.Handler, handle handler) http.Handler {
	mux := chi.NewRouter()
	mux.Use(protect)
	mux.Route("/shop", func(shop chi.Router) {
		shop.Route("/orders", func(orders chi.Router) {
			orders.Post("/{id}", handle.ServeHTTP)
			orders.Get("/{id}", handle.ServeHTTP)
		})
	})
	return mux
}

// TestChiRoutingGoesOn shows why [Chi] is: without it the second run finds no
// route.
func TestChiRoutingGoesOn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.failing()
	url := listen(t, chiUsing(f.protection(idemhttp.IETF).Handler, f.creating("lost")))
	got := send(t, post(t, url, "lost", "{}"))
	require.Equal(t, http.StatusNotFound, got.status, got.body)
	require.Zero(t, f.effects())
}

func serveChiRecoverer(t *testing.T, p *idemhttp.Protection, handle handler) string {
	t.Helper()
	mux := newChi()
	mux.With(p.Handler, middleware.Recoverer).Post("/shop/orders/{id}", handle.ServeHTTP)
	return listen(t, mux)
}
