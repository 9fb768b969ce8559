package interop

import (
	"context"
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/idemtx/idemtx/idemhttp"
)

// Chi is p as a middleware that may stand where chi has still to route: in
// Router.Use, or above Mount and Route. On a route of its own, with Router.With,
// p.Handler is enough.
//
// chi notes in its routing context how far it has come. A second run would go on
// from there, not from the start, and find another route or none. So each run has
// a copy. What is outside does not see the pattern that was found in it.
func Chi(p *idemhttp.Protection) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return p.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			route := chi.RouteContext(r.Context()).Clone()
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), chi.RouteCtxKey, route)))
		}))
	}
}
