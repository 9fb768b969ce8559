package idemhttp

import (
	"errors"
	"maps"
	"net/http"
	"slices"

	"github.com/idemtx/idemtx/idemtx"
)

// The headers of the protocol. That of a replay is [Policy.ReplayedHeader].
const (
	keyHeader     = "Idempotency-Key"
	expiresHeader = "Idempotency-Expires"
)

// Middleware returns what makes a handler idempotent, with the replies in s. The
// package documentation says what client and handler get.
//
// It belongs inside of what authenticates, limits the rate, compresses, logs and
// recovers from panics, and outside of what does the work: of a panic that was
// recovered inside, it sees no more than the reply that had been written before.
// Routes that need another [Config] get a Middleware of their own. Where two of one
// [idemtx.Store] are nested, the inner does nothing.
//
// Like net/http, it panics on what only a programming error can be; see [New].
func Middleware(s *idemtx.Store, c Config) func(http.Handler) http.Handler {
	return New(s, c).Handler
}

// Protection is what a [Middleware] does, apart from how net/http sends a
// response: for a framework with requests and responses of its own, or for a
// handler that works in [idemtx.DoTx] or [idemtx.DoPool]. It is safe for
// concurrent use.
type Protection struct {
	store  *idemtx.Store
	config Config
	limit  int // of a response's body, in bytes
}

// New returns a protection with the replies in s. It panics when s or
// [Config.Scope] is nil, [Config.MaxBodyBytes] is negative, or a name of a header
// is none.
func New(s *idemtx.Store, c Config) *Protection {
	if s == nil {
		panic("idemhttp: nil store")
	}
	c = c.withDefaults()
	c.mustBeValid()
	return &Protection{store: s, config: c, limit: s.Config().MaxReplyBytes}
}

// Handler returns next behind the protection.
func (p *Protection) Handler(next http.Handler) http.Handler {
	if next == nil {
		panic("idemhttp: nil handler")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !p.Protects(r) {
			next.ServeHTTP(w, r)
			return
		}
		p.do(r, func(r *http.Request) (Response, error) {
			rec := &recorder{header: make(http.Header), room: p.limit}
			next.ServeHTTP(rec, r)
			return rec.finish()
		}).Send(w)
	})
}

// Protects tells whether r is protected, or passes through: for its method, for
// its lack of a key where that is optional, or because another protection with
// the same store is around this one.
//
// An empty key is one, and a bad one: what was meant to be protected must not run
// unprotected.
func (p *Protection) Protects(r *http.Request) bool {
	return slices.Contains(p.config.Methods, r.Method) &&
		(!p.config.Optional || len(r.Header.Values(keyHeader)) > 0) &&
		!within(r.Context(), p.store)
}

// Check makes of r what the store has to know, for a caller who then calls
// [idemtx.Do], [idemtx.DoTx] or [idemtx.DoPool] with a [Response]. It takes no
// connection: a slow client holds none. It reads the body and puts one in its
// place that can be read from the beginning.
//
// What to answer then is told by [Protection.Answer], and by [Protection.Refuse] of
// its error or theirs.
func (p *Protection) Check(r *http.Request) (idemtx.Request, error) {
	request, body, err := p.read(r)
	if err == nil {
		r.Body = reader(body)
	}
	return request, err
}

// Do returns the response to r: that of handle, a replay, or a problem. It must
// not be sent in part before. A handler gets its transaction from [Tx] with the
// context of the request it is given, works in it, and may be called again after
// PostgreSQL has undone that. What it panics with goes on, and undoes. The body of
// its response is not copied: nobody may write to it later.
//
// An r that is not protected goes to handle as it is.
func (p *Protection) Do(r *http.Request, handle func(r *http.Request) Response) Response {
	if !p.Protects(r) {
		return handle(r)
	}
	return p.do(r, func(r *http.Request) (Response, error) { return handle(r), nil })
}

func (p *Protection) do(r *http.Request, handle handler) Response {
	request, body, err := p.read(r)
	if err != nil {
		return p.Refuse(r, request, err)
	}
	h := &handling{protection: p, is: request, request: r, body: body, handle: handle}
	answer, err := idemtx.Do(r.Context(), p.store, request, h.run)
	switch {
	case errors.Is(err, errForgotten) && !errors.Is(err, idemtx.ErrTxMisuse):
		return h.last
	case err != nil:
		return p.Refuse(r, request, err)
	case !answer.Replayed:
		answer.Value = h.last // with what is not stored
	}
	response := p.Answer(answer)
	if length := answer.Value.Header.Get("Content-Length"); length != "" && r.Method == http.MethodHead {
		response.Header.Set("Content-Length", length)
	}
	return response
}

// Answer is the response of a reply of [idemtx.Do], [idemtx.DoTx] or
// [idemtx.DoPool], with the headers that tell whether it is a replay and until
// when it is kept, to the second below. After DoTx the caller's transaction has to
// be committed before it is sent.
func (p *Protection) Answer(reply idemtx.Reply[Response]) Response {
	response := reply.Value
	response.Header = make(http.Header, len(reply.Value.Header)+2)
	maps.Copy(response.Header, reply.Value.Header)
	response.Header.Set(expiresHeader, reply.ExpiresAt.UTC().Format(http.TimeFormat))
	response.Header.Del(p.config.Policy.ReplayedHeader)
	response.Header.Del("Content-Length") // that of the body is Send's to tell
	if reply.Replayed {
		response.Header.Set(p.config.Policy.ReplayedHeader, "true")
	}
	return response
}

// read makes of r what the store has to know, and returns its body. The body
// comes last: a client that waits for 100 Continue has sent none when the rest is
// refused.
func (p *Protection) read(r *http.Request) (request idemtx.Request, body []byte, err error) {
	values := r.Header.Values(keyHeader)
	if len(values) == 0 {
		return request, nil, keyMissing
	}
	if request.Key, err = ParseKey(values); err != nil || !p.config.takes(request.Key) {
		return request, nil, keyInvalid
	}
	if request.Scope, err = p.config.Scope(r); err != nil || request.Scope.IsZero() {
		return request, nil, unauthenticated
	}
	if body, err = readBody(r, p.config.MaxBodyBytes); err != nil {
		return request, nil, err
	}
	c := contentOf(r)
	request.Operation = operation(r, c)
	request.Payload = c.payload(body)
	request.OnDuplicate = p.config.Policy.OnDuplicate
	return request, body, nil
}
