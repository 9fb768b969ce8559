package page

import (
	"cmp"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemui"
)

// serve mounts the pages of the store.
func (f *fixture) serve(config idemui.Config) *site {
	f.tb.Helper()
	config.Timeout = cmp.Or(config.Timeout, time.Minute) // a busy machine takes longer than a reader waits
	handler, err := idemui.New(f.store, config)
	require.NoError(f.tb, err)
	s := &site{tb: f.tb}
	mux := http.NewServeMux()
	mux.Handle("/admin/keys/", http.StripPrefix("/admin/keys", handler))
	httpServer := httptest.NewServer(s.remember(mux))
	f.tb.Cleanup(httpServer.Close)
	s.url = httpServer.URL + "/admin/keys/"
	return s
}

// site is the pages where they are mounted.
type site struct {
	tb  testing.TB
	url string

	mu   sync.Mutex
	urls []string // that were asked for
}

func (s *site) remember(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.urls = append(s.urls, r.RequestURI)
		s.mu.Unlock()
		next.ServeHTTP(w, r)
	})
}

func (s *site) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.urls...)
}

// reply is what a page was answered with.
type reply struct {
	status int
	header http.Header
	body   string
}

// send does not follow a redirect.
func (s *site) send(method, path string, form url.Values, header ...string) reply {
	s.tb.Helper()
	r, err := http.NewRequestWithContext(s.tb.Context(), method, s.url+path, strings.NewReader(form.Encode()))
	require.NoError(s.tb, err)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	require.NoError(s.tb, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	require.NoError(s.tb, err)
	return reply{answer.StatusCode, answer.Header, string(body)}
}

func (s *site) get(path string) reply { s.tb.Helper(); return s.send(http.MethodGet, path, nil) }

func (s *site) post(path string, form url.Values) reply {
	s.tb.Helper()
	return s.send(http.MethodPost, path, form)
}

// lookUp asks for a key.
func (s *site) lookUp(key string) reply { s.tb.Helper(); return s.post("key", keyForm(key)) }

func keyForm(key string) url.Values {
	return url.Values{"tenant": {tenant}, "principal": {principal}, "key": {key}}
}
