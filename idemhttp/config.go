package idemhttp

import (
	"cmp"
	"log/slog"
	"net/http"
	"slices"

	"github.com/idemtx/idemtx/scope"
)

// Config says how a [Middleware] works. All but Scope may be left out.
type Config struct {
	// Scope tells whose key it is, from what the server has authenticated. Two
	// clients in one scope who choose the same key get each other's replies.
	//
	// An error, or the zero Scope, is answered with 401 and nothing runs; the
	// error's text goes nowhere. Scope must leave the body unread.
	//
	// Required.
	Scope func(*http.Request) (scope.Scope, error)

	// Optional lets a request without an Idempotency-Key through to the handler,
	// unprotected and without a transaction: [Tx] is nil.
	//
	// Defaults to false: such a request is answered with 400.
	Optional bool

	// Methods are those that are protected. Requests with others pass through
	// as if there were no middleware.
	//
	// Defaults to POST and PATCH.
	Methods []string

	// MaxBodyBytes is how long a request's body may be. It is held in memory.
	//
	// Defaults to 1 MiB.
	MaxBodyBytes int64

	// Policy decides which replies commit, are kept, or are forgotten.
	//
	// Defaults to [IETF].
	Policy Policy

	// ProblemBase is what the names of the problems are appended to, such as
	// "https://api.example.com/problems/".
	//
	// Defaults to the headings of this package's documentation.
	ProblemBase string

	// Logger hears of each request that was answered with a 500 or 503 of the
	// middleware's own. It is never given a key, a path, a body, or the scope in
	// clear.
	//
	// Defaults to one that discards.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if len(c.Methods) == 0 {
		c.Methods = []string{http.MethodPost, http.MethodPatch}
	}
	c.Methods = slices.Clone(c.Methods)
	c.MaxBodyBytes = cmp.Or(c.MaxBodyBytes, 1<<20)
	c.ProblemBase = cmp.Or(c.ProblemBase, "https://pkg.go.dev/github.com/idemtx/idemtx/idemhttp#hdr-")
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	return c
}
