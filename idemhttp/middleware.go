package idemhttp

import (
	"net/http"
	"slices"

	"github.com/idemtx/idemtx/idemtx"
)

// The headers of the protocol.
const (
	keyHeader      = "Idempotency-Key"
	replayedHeader = "Idempotency-Replayed"
)

// Middleware returns what makes a handler idempotent, with the replies in s. The
// package documentation says what client and handler get.
//
// It belongs inside of what authenticates, limits the rate and logs, and outside
// of what does the work. Where two of one store are nested, the inner does
// nothing.
//
// Like net/http, it panics on what only a programming error can be: when s or
// [Config.Scope] is nil, or [Config.MaxBodyBytes] is negative.
func Middleware(s *idemtx.Store, c Config) func(http.Handler) http.Handler {
	switch {
	case s == nil:
		panic("idemhttp: nil store")
	case c.Scope == nil:
		panic("idemhttp: nil Config.Scope")
	case c.MaxBodyBytes < 0:
		panic("idemhttp: negative Config.MaxBodyBytes")
	}
	m := &middleware{store: s, config: c.withDefaults()}
	return func(next http.Handler) http.Handler {
		if next == nil {
			panic("idemhttp: nil handler")
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { m.serve(w, r, next) })
	}
}

type middleware struct {
	store  *idemtx.Store
	config Config
}

func (m *middleware) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if m.passes(r) {
		next.ServeHTTP(w, r)
		return
	}
	request, body, err := m.read(w, r)
	if err != nil {
		m.fail(w, r, request, err)
		return
	}
	h := &handling{next: next, request: r, body: body, policy: m.config.Policy, store: m.store}
	answer, err := idemtx.Do(r.Context(), m.store, request, h.run)
	switch {
	case isForgotten(err):
		h.last.send(w, r)
	case err != nil:
		m.fail(w, r, request, err)
	case answer.Replayed:
		w.Header().Set(replayedHeader, "true")
		answer.Value.send(w, r)
	default:
		// Not answer.Value, which is without what is not stored.
		h.last.send(w, r)
	}
}

// passes tells that r is not for this middleware. An empty key is one, and a bad
// one: what was meant to be protected must not run unprotected.
func (m *middleware) passes(r *http.Request) bool {
	return !slices.Contains(m.config.Methods, r.Method) ||
		m.config.Optional && len(r.Header.Values(keyHeader)) == 0 ||
		within(r.Context(), m.store)
}

// read makes of r what the store has to know, and returns its body. It takes no
// connection: a slow client holds none.
func (m *middleware) read(w http.ResponseWriter, r *http.Request) (request idemtx.Request, body []byte, err error) {
	values := r.Header.Values(keyHeader)
	if len(values) == 0 {
		return request, nil, keyMissing
	}
	if request.Key, err = ParseKey(values); err != nil {
		return request, nil, keyInvalid
	}
	if request.Scope, err = m.config.Scope(r); err != nil || request.Scope.IsZero() {
		return request, nil, unauthenticated
	}
	if body, err = readBody(w, r, m.config.MaxBodyBytes); err != nil {
		return request, nil, err
	}
	media := mediaType(r)
	request.Operation = operation(r, media)
	request.Payload = payload(r, media, body)
	return request, body, nil
}
