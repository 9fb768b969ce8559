package idemhttp

import (
	"cmp"
	"log/slog"
	"net/http"
	"regexp"
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

	// KeyFormat is what a whole key must match, such as a UUID, so that keys which
	// could be guessed are refused. A client that sends another is answered with
	// 400.
	//
	// Defaults to nil: any key.
	KeyFormat *regexp.Regexp

	// Methods are those that are protected. Requests with others pass through
	// as if there were no middleware.
	//
	// Defaults to POST and PATCH.
	Methods []string

	// MaxBodyBytes is how long a request's body may be. It is held in memory.
	//
	// Defaults to 1 MiB.
	MaxBodyBytes int64

	// AllowHeaders are the headers of a response that are stored and replayed, in
	// any spelling, beside Content-Type and Content-Encoding, which go with the
	// body. The first client gets all of them. What is of one sending, such as
	// Set-Cookie, is not stored although it is named here.
	//
	// Defaults to nil: all but those of one sending; see the package documentation.
	AllowHeaders []string

	// DenyHeaders are further headers of a response that are neither stored nor
	// replayed, such as X-Request-Id. Those that go with the body are, although they
	// are named here.
	DenyHeaders []string

	// Policy decides which replies commit, are kept, or are forgotten, and in
	// whose words problems are told.
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

	allowed, denied map[string]bool // of the two lists
	format          *regexp.Regexp  // KeyFormat, for its longest match
}

func (c Config) withDefaults() Config {
	if len(c.Methods) == 0 {
		c.Methods = []string{http.MethodPost, http.MethodPatch}
	}
	c.Methods = slices.Clone(c.Methods)
	c.MaxBodyBytes = cmp.Or(c.MaxBodyBytes, 1<<20)
	c.ProblemBase = cmp.Or(c.ProblemBase, "https://pkg.go.dev/github.com/idemtx/idemtx/idemhttp#hdr-")
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	c.Policy = c.Policy.withDefaults()
	c.allowed, c.denied = set(c.AllowHeaders...), set(c.DenyHeaders...)
	if c.KeyFormat != nil {
		c.format = regexp.MustCompile(c.KeyFormat.String()) // a copy, which the next line changes
		c.format.Longest()
	}
	return c
}

func (c *Config) mustBeValid() {
	switch {
	case c.Scope == nil:
		panic("idemhttp: nil Config.Scope")
	case c.MaxBodyBytes < 0:
		panic("idemhttp: negative Config.MaxBodyBytes")
	}
	for _, name := range slices.Concat(c.AllowHeaders, c.DenyHeaders, []string{c.Policy.ReplayedHeader}) {
		if !isToken(name) {
			panic("idemhttp: what is no header name in Config.AllowHeaders, DenyHeaders or Policy.ReplayedHeader")
		}
	}
}

// takes tells whether a key is of the form that clients are asked for.
func (c *Config) takes(key string) bool {
	return c.format == nil || slices.Equal(c.format.FindStringIndex(key), []int{0, len(key)})
}
