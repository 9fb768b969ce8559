package interop

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path"
	"testing"

	"github.com/idemtx/idemtx/idemhttp"
)

// standard is an exchange of net/http, and of chi.
type standard struct {
	w http.ResponseWriter
	r *http.Request
}

type valueKey string

func (x *standard) Context() context.Context { return x.r.Context() }
func (x *standard) Param() string {
	if id := x.r.PathValue("id"); id != "" {
		return id
	}
	return path.Base(x.r.URL.Path) // where the route is not one of net/http
}
func (x *standard) Query(name string) string     { return x.r.URL.Query().Get(name) }
func (x *standard) SetHeader(name, value string) { x.w.Header().Set(name, value) }
func (x *standard) Used() bool                   { return x.w.Header().Get("X-Undone") != "" }
func (x *standard) Get(name string) any          { return x.r.Context().Value(valueKey(name)) }

func (x *standard) Body() (string, error) {
	body, err := io.ReadAll(x.r.Body)
	return string(body), err
}

func (x *standard) Set(name string, value any) {
	x.r = x.r.WithContext(context.WithValue(x.r.Context(), valueKey(name), value))
}

func (x *standard) Reply(status int, body string) error {
	x.w.WriteHeader(status)
	_, err := io.WriteString(x.w, body)
	return err
}

func (x *standard) Flush(body string) {
	_, _ = io.WriteString(x.w, body)
	if flusher, ok := x.w.(http.Flusher); ok {
		flusher.Flush()
	}
	_ = http.NewResponseController(x.w).Flush()
}

func (x *standard) Fail(status int, detail string) error {
	http.Error(x.w, detail, status)
	return nil
}

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := h(&standard{w, r}); err != nil {
		http.Error(w, "failed", http.StatusInternalServerError)
	}
}

// outer is what is around a protection in these tests.
func outer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range outerHeader(r.Header.Get("X-Try")) {
			w.Header().Set(name, value)
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), valueKey("user"), "annabel")))
	})
}

// recovery answers a panic, of which net/http only ends the connection.
func recovery(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if failure := recover(); failure != nil {
				http.Error(w, fmt.Sprint("failed: ", failure), http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

func serveNetHTTP(t *testing.T, p *idemhttp.Protection, handle handler) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("POST /shop/orders/{id}", p.Handler(handle))
	mux.Handle("GET /shop/orders/{id}", p.Handler(handle))
	return listen(t, recovery(outer(mux)))
}
