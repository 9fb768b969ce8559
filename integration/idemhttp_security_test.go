package integration

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/scope"
)

// tokenHolder tells who has a token, and that two tokens are nobody's.
func tokenHolder(r *http.Request) (scope.Scope, error) {
	users := map[string]string{"Bearer token-of-annabel": "annabel", "Bearer token-of-bob": "bob"}
	tokens := r.Header.Values("Authorization")
	if len(tokens) != 1 || users[tokens[0]] == "" {
		return scope.Scope{}, errors.New("nobody")
	}
	return scope.New("tenant", users[tokens[0]])
}

// TestHTTPNobodyGetsAnothersReply: bob has annabel's key, and whatever he dresses
// it in, what he gets is his own or nothing.
func TestHTTPNobodyGetsAnothersReply(t *testing.T) {
	t.Parallel()
	const (
		key, target = "secret", "/orders"
		a, b        = "Authorization: Bearer token-of-annabel", "Authorization: Bearer token-of-bob"
		given       = "Idempotency-Key: " + key
	)
	for name, test := range map[string]struct {
		target string
		lines  []string
		status int // 0: bob's own reply
	}{
		"nothing":                      {target, []string{b, given}, 0},
		"no token":                     {target, []string{given}, 401},
		"a wrong token":                {target, []string{"Authorization: tokenHolder token-of-annabel", given}, 401},
		"her token beside his":         {target, []string{b, a, given}, 401},
		"his token beside hers":        {target, []string{a, b, given}, 401},
		"both in one":                  {target, []string{a + ", Bearer token-of-bob", given}, 401},
		"her token in another header":  {target, []string{b, "Proxy-Authorization: Bearer token-of-annabel", given}, 0},
		"her name from a proxy":        {target, []string{b, "X-Forwarded-User: annabel", "X-Remote-User: annabel", given}, 0},
		"her name as the original":     {target, []string{b, "X-Original-User: annabel", "X-User: annabel", given}, 0},
		"her cookie":                   {target, []string{b, "Cookie: user=annabel", given}, 0},
		"her host":                     {target, []string{b, "X-Forwarded-Host: annabel.example", "Forwarded: host=annabel.example", given}, 0},
		"another method":               {target, []string{b, "X-HTTP-Method-Override: GET", given}, 0},
		"another path in a header":     {target, []string{b, "X-Original-URL: /annabel/orders", given}, 0},
		"her name in the target":       {"http://annabel@a.example" + target, []string{b, given}, 0},
		"her name in an absolute form": {"http://annabel.example" + target, []string{b, given}, 0},
		"an escaped path":              {"/%6frders", []string{b, given}, 0},
		"a path with dots":             {"/./orders", []string{b, given}, 0},
		"a path with a slash":          {"/orders/", []string{b, given}, 0},
		"a path with two slashes":      {"//orders", []string{b, given}, 0},
		"a path with a NUL":            {"/orders%00", []string{b, given}, 0},
		"a query":                      {target + "?user=annabel", []string{b, given}, 0},
		"the key in quotes":            {target, []string{b, `Idempotency-Key: "secret"`}, 0},
		"the key with spaces":          {target, []string{b, "Idempotency-Key: \t secret \t "}, 0},
		"the key in capitals":          {target, []string{b, "Idempotency-Key: SECRET"}, 0},
		"another key in spaces":        {target, []string{b, `Idempotency-Key: " secret "`}, 0},
		"an escaped key":               {target, []string{b, `Idempotency-Key: "s\ecret"`}, 400},
		"a key in escaped quotes":      {target, []string{b, `Idempotency-Key: "\"secret\""`}, 0},
		"a percent":                    {target, []string{b, "Idempotency-Key: %73ecret"}, 0},
		"her name in the key":          {target, []string{b, "Idempotency-Key: annabel/secret"}, 0},
		"her scope in the key":         {target, []string{b, "Idempotency-Key: tenant\x1eannabel\x1esecret"}, 400},
		"the key and hers":             {target, []string{b, "Idempotency-Key: bobs", given}, 400},
		"a look-alike":                 {target, []string{b, "Idempotency-Key: s\u0435cret"}, 400},
		"full width":                   {target, []string{b, "Idempotency-Key: \uff53ecret"}, 400},
		"no width":                     {target, []string{b, "Idempotency-Key: secret\u200b"}, 400},
		"a NUL":                        {target, []string{b, "Idempotency-Key: secret\x00"}, 400},
		"a parameter":                  {target, []string{b, `Idempotency-Key: "secret";user=annabel`}, 400},
		"SQL":                          {target, []string{b, "Idempotency-Key: secret' OR scope <> '"}, 0},
		"a pattern":                    {target, []string{b, "Idempotency-Key: s%"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			s := f.serve(idemhttp.Config{Scope: tokenHolder}, func(w http.ResponseWriter, r *http.Request) {
				who := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer token-of-")
				if err := f.insert(r, who); err != nil {
					panic(err)
				}
				w.WriteHeader(http.StatusCreated)
				fmt.Fprint(w, "private to ", who)
			})
			ask := func(target string, lines ...string) heard {
				w := s.dial()
				w.write(append([]string{"POST " + target + " HTTP/1.1", "Host: a.example", "Content-Length: 0"}, append(lines, "")...)...)
				return w.read()
			}
			hers := ask(target, a, given)
			require.Equal(t, "private to annabel", hers.body)
			for i := range 2 {
				got := ask(test.target, test.lines...)
				if test.status != 0 {
					require.Equal(t, test.status, got.status)
					require.NotContains(t, got.body, "private")
					require.NotContains(t, got.header, "Idempotency-Expires")
					continue
				}
				require.Equal(t, "private to bob", got.body)
				require.Equal(t, i == 1, got.replayed(), "his retry is his own")
			}
			require.Equal(t, "private to annabel", ask(target, a, given).body)
			require.Equal(t, 1, f.effects("annabel"))
		})
	}
}

// TestHTTPIdentitiesDoNotMelt: whatever an identity provider lets a name be, it
// is no one else's.
func TestHTTPIdentitiesDoNotMelt(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	who := func(r *http.Request) (tenant, user string) {
		q := r.URL.Query()
		r.URL.RawQuery = "" // a name is not to be told apart by the query
		r.RequestURI = "/orders"
		return q.Get("tenant"), q.Get("user")
	}
	config := idemhttp.Config{Scope: func(r *http.Request) (scope.Scope, error) {
		tenant, user := who(r)
		r.Header.Set("X-Seen", fmt.Sprintf("%q of %q", user, tenant))
		return scope.New(tenant, user)
	}}
	s := f.serve(config, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "private to "+r.Header.Get("X-Seen"))
	})
	ask := func(tenant, user string) heard {
		r := s.post("key", "{}")
		r.URL.RawQuery = url.Values{"tenant": {tenant}, "user": {user}}.Encode()
		return s.send(r)
	}
	names := [][2]string{
		{"tenant", "annabel"},
		{"tenant", "Annabel"},
		{"tenant", "ANNABEL"},
		{"TENANT", "annabel"},
		{"tenant", "annabel "},
		{"tenant", " annabel"},
		{"tenant ", "annabel"},
		{"", "annabel"},
		{"annabel", "tenant"},
		{"tenantannabel", "x"},
		{"tenan", "tannabel"},
		{"tenant", "\u0430nnabel"},
		{"tenant", "\uff41nnabel"},
		{"tenant", "annabel\u200b"},
		{"tenant", "annabel\u0301"},
		{"tenant", "ann\u00e4bel"},
		{"tenant", "anna\u0308bel"},
		{"tenant", "annabel%00"},
		{"tenant", "%61nnabel"},
		{"tenant", "annabel' --"},
		{"tenant", `annabel\x1e`},
	}
	for i := range 2 {
		for _, name := range names {
			got := ask(name[0], name[1])
			require.Equal(t, fmt.Sprintf("private to %q of %q", name[1], name[0]), got.body)
			require.Equal(t, i == 1, got.replayed(), name)
		}
	}
	for _, name := range [][2]string{
		{"", ""},
		{"tenant", ""},
		{"tenant\x1eannabel", ""},
		{"", "tenant\x1eannabel"},
		{"tenant\x1e", "annabel"},
		{"tenant", "annabel\x1e"},
		{"tenant", "\x1eannabel"},
		{"tenant", "annabel\x00"},
		{"tenant", "annabel\n"},
		{"tenant", "annabel\x7f"},
		{"tenant", "annabel\u0085"},
		{"tenant", "annabel\xff"},
		{"tenant", strings.Repeat("a", 2000)},
	} {
		ask(name[0], name[1]).requireProblem(t, http.StatusUnauthorized, "unauthenticated")
	}
	require.EqualValues(t, len(names), s.runs.Load())
}

// TestHTTPTellsNobodyTheKey: who reads an error or the log could replay it.
func TestHTTPTellsNobodyTheKey(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withConfig(func(c *idemtx.Config) {
		c.OnDuplicate, c.OnExpired, c.MaxReplyBytes = idemtx.Refuse, idemtx.RefuseExpired, 500
	}))
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var s *service
	s = f.serve(idemhttp.Config{MaxBodyBytes: bodyLimit, Logger: logger}, func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("Idempotency-Key") {
		case "secret busy":
			again, err := s.try(s.post("secret busy", `"secret"`))
			assert.NoError(t, err)
			w.WriteHeader(again.status)
			_, _ = io.WriteString(w, again.body)
		case "secret long":
			_, _ = w.Write(make([]byte, 501))
		case "secret broken":
			_, _ = idemhttp.Tx(r.Context()).Exec(r.Context(), "SELECT 'secret'::int")
		}
	})
	for _, key := range []string{"secret done", "secret old", "secret foreign"} {
		require.Equal(t, http.StatusOK, s.send(s.post(key, `"secret"`)).status)
	}
	f.expire("secret old")
	exec(t, "UPDATE "+f.table()+` SET response = '{"secret": "secret"}' WHERE key = 'secret foreign'`)

	for _, test := range []struct {
		key, body string
		status    int
		problem   string
	}{
		{"secret, b", `"secret"`, 400, "key_invalid"},
		{"secret\u00e9", `"secret"`, 400, "key_invalid"},
		{"secret invalid", `"secret`, 400, "body_invalid"},
		{"secret invalid", `{"secret":1,"secret":1}`, 400, "body_invalid"},
		{"secret large", strings.Repeat("secret", 100), 413, "body_too_large"},
		{"secret done", `"another secret"`, 422, "mismatch"},
		{"secret old", `"secret"`, 410, "expired"},
		{"secret long", `"secret"`, 500, "internal"},
		{"secret broken", `"secret"`, 500, "internal"},
		{"secret foreign", `"secret"`, 500, "internal"},
	} {
		got := s.send(s.post(test.key, test.body))
		got.requireProblem(t, test.status, test.problem)
		require.NotContains(t, fmt.Sprint(got), "secret", test.problem)
	}
	busy := s.send(s.post("secret busy", `"secret"`))
	require.Contains(t, busy.body, "/problems/in_flight")
	require.NotContains(t, fmt.Sprint(busy), "secret")

	require.Equal(t, 3, strings.Count(log.String(), "problem=internal"), log.String())
	for _, told := range []string{"secret", "annabel", "tenant", "/orders"} {
		require.NotContains(t, log.String(), told)
	}
}
