package page

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/idemui"
)

// everything asks a site for all that it has, and for what it has not.
func everything(t *testing.T, s *site) map[string]reply {
	t.Helper()
	scope := url.Values{"scope": {whose(t).LogID()}}
	return map[string]reply{
		"overview":          s.get(""),
		"live overview":     s.get("?live"),
		"search":            s.get("search"),
		"stylesheet":        s.get("style.css"),
		"icon":              s.get("icon.svg"),
		"key":               s.lookUp(key),
		"key, refused":      s.lookUp("declined-card"),
		"key, absent":       s.lookUp(key + "-absent"),
		"key, too long":     s.lookUp(strings.Repeat(key, 20)),
		"key, in the query": s.send(http.MethodPost, "key?"+keyForm(key).Encode(), nil),
		"key, no form":      s.send(http.MethodPost, "key", nil, "Content-Type", "application/json"),
		"key, bad scope":    s.post("key", url.Values{"tenant": {tenant + "\x1e"}, "principal": {principal}, "key": {key}}),
		"key, back":         s.get("key"),
		"scope":             s.post("scope", scope),
		"scope, a key":      s.post("scope", url.Values{"scope": {key}}),
		"scope, back":       s.get("scope"),
		"too much":          s.post("key", url.Values{"tenant": {strings.Repeat(tenant, 2000)}, "key": {key}}),
		"no page":           s.get("nothing"),
		"no method":         s.send(http.MethodDelete, "", nil),
		"no post":           s.post("search", keyForm(key)),
		"from elsewhere":    s.send(http.MethodPost, "key", keyForm(key), "Sec-Fetch-Site", "cross-site"),
	}
}

func TestEveryAnswerIsProtected(t *testing.T) {
	t.Parallel()
	s := busy(t).serve(idemui.Config{})
	for name, r := range everything(t, s) {
		policy := r.header.Get("Content-Security-Policy")
		assert.True(t, strings.HasPrefix(policy, "default-src 'none';"), name)
		assert.Contains(t, policy, "frame-ancestors 'none'", name)
		assert.Contains(t, policy, "base-uri 'none'", name)
		assert.NotContains(t, policy, "unsafe", name)
		assert.NotContains(t, policy, "script-src", name)
		assert.Equal(t, "no-store", r.header.Get("Cache-Control"), name)
		assert.Equal(t, "nosniff", r.header.Get("X-Content-Type-Options"), name)
		assert.Equal(t, "same-origin", r.header.Get("Referrer-Policy"), name)
		assert.Equal(t, "DENY", r.header.Get("X-Frame-Options"), name)
		assert.NotContains(t, r.body, "<script", name)
		assert.NotContains(t, r.body, " style=", name)
	}
}

func TestStatuses(t *testing.T) {
	t.Parallel()
	s := busy(t).serve(idemui.Config{})
	want := map[string]int{
		"key, too long": 422, "key, in the query": 422, "key, no form": 422, "key, bad scope": 422,
		"scope, a key": 422, "too much": 422, "key, back": 303, "scope, back": 303,
		"no page": 404, "no method": 405, "no post": 405, "from elsewhere": 403,
	}
	for name, r := range everything(t, s) {
		status := want[name]
		if status == 0 {
			status = 200
		}
		assert.Equal(t, status, r.status, name)
		switch status {
		case 303:
			assert.Equal(t, "search", r.header.Get("Location"), name)
		case 405:
			assert.Equal(t, "GET, HEAD", r.header.Get("Allow"), name)
		}
	}
}

func TestOnlyTheSameOriginMayAsk(t *testing.T) {
	t.Parallel()
	s := busy(t).serve(idemui.Config{})
	post := func(header ...string) int { return s.send(http.MethodPost, "key", keyForm(key), header...).status }
	assert.Equal(t, 403, post("Sec-Fetch-Site", "cross-site"))
	assert.Equal(t, 403, post("Sec-Fetch-Site", "same-site"))
	assert.Equal(t, 403, post("Origin", "https://elsewhere.example"))
	assert.Equal(t, 200, post("Sec-Fetch-Site", "same-origin"))
	// Over http a browser sends no Sec-Fetch-Site.
	assert.Equal(t, 200, post("Origin", strings.TrimSuffix(s.url, "/admin/keys/")))
	assert.Equal(t, 403, post("Origin", "null"))
	assert.Equal(t, 200, post(), "what is no browser has its own authentication")
}

// The database refuses to write, and every page is as it is otherwise.
func TestNothingIsWritten(t *testing.T) {
	t.Parallel()
	f := busy(t)
	config := f.pool.Config()
	config.ConnConfig.RuntimeParams["default_transaction_read_only"] = "on"
	readOnly := newPool(t, config)
	store, err := idemtx.New(readOnly, f.store.Config())
	require.NoError(t, err)
	s := (&fixture{tb: t, store: store}).serve(idemui.Config{ShowReplies: true, ShowScopes: true})
	before := f.content()
	for name, r := range everything(t, s) {
		assert.Less(t, r.status, 500, name)
	}
	assert.Equal(t, before, f.content())
}

// content is of every row, and of which version it is.
func (f *fixture) content() (rows []string) {
	f.tb.Helper()
	found, err := f.aside.Query(context.WithoutCancel(f.tb.Context()),
		"SELECT ctid::text || xmin::text || key FROM "+f.table()+" WHERE lease_until IS NULL ORDER BY key")
	require.NoError(f.tb, err)
	for found.Next() {
		var row string
		require.NoError(f.tb, found.Scan(&row))
		rows = append(rows, row)
	}
	require.NoError(f.tb, found.Err())
	return rows
}

func TestItCanBeMountedAnywhere(t *testing.T) {
	t.Parallel()
	f := busy(t)
	handler, err := idemui.New(f.store, idemui.Config{})
	require.NoError(t, err)
	stripped := http.NewServeMux()
	stripped.Handle("/a/b/", http.StripPrefix("/a/b", handler))
	whole := http.NewServeMux()
	whole.Handle("/a/b/", handler)
	for name, at := range map[string]struct {
		handler http.Handler
		prefix  string
	}{
		"under a prefix":          {whole, "/a/b/"},
		"under a prefix, cut off": {stripped, "/a/b/"},
		"at the root":             {handler, "/"},
		"with no mux":             {http.StripPrefix("/a/b", handler), "/a/b/"},
		"with the slash stripped": {http.StripPrefix("/a/b/", handler), "/a/b/"},
	} {
		for _, page := range []string{"", "search", "style.css", "icon.svg"} {
			w := httptest.NewRecorder()
			at.handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, at.prefix+page, nil))
			assert.Equal(t, 200, w.Code, "%s: %s", name, page)
			assert.NotContains(t, w.Body.String(), `href="/`, "links are relative")
			assert.NotContains(t, w.Body.String(), `action="/`, "links are relative")
		}
	}
	for _, mounted := range []http.Handler{http.StripPrefix("/a/b", handler), stripped} {
		w := httptest.NewRecorder()
		mounted.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/a/b?x="+key, nil))
		assert.Contains(t, []int{301, 307, 308}, w.Code)
		to, err := (&url.URL{Path: "/a/b"}).Parse(w.Header().Get("Location"))
		require.NoError(t, err)
		assert.Equal(t, "/a/b/", to.Path)
	}
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for config, field := range map[idemui.Config]string{
		{Timeout: 1}:       "Config.Timeout",
		{Timeout: -1}:      "Config.Timeout",
		{Timeout: 1e12}:    "Config.Timeout",
		{CountEvery: -1}:   "Config.CountEvery",
		{CountEvery: 1e15}: "Config.CountEvery",
	} {
		_, err := idemui.New(f.store, config)
		require.ErrorContains(t, err, field)
	}
	_, err := idemui.New(nil, idemui.Config{})
	assert.ErrorContains(t, err, "nil")
}
