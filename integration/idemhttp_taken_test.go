package integration

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
)

// TestHTTPBodyThatWasTaken by something around the middleware, which cannot
// compare it then: two payments would be one.
func TestHTTPBodyThatWasTaken(t *testing.T) {
	t.Parallel()
	const form = "application/x-www-form-urlencoded"
	for name, take := range map[string]func(r *http.Request){
		"a form":           func(r *http.Request) { _ = r.PostFormValue("token") },
		"all of the bytes": func(r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) },
	} {
		for encoding, chunked := range map[string]bool{"with a length": false, "in chunks": true} {
			if chunked && name != "a form" {
				continue // without a length, nobody can tell
			}
			t.Run(name+" "+encoding, func(t *testing.T) {
				t.Parallel()
				f := newFixture(t)
				s := f.serveInside(idemhttp.Config{}, f.works, func(next http.Handler) http.Handler {
					return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						take(r)
						next.ServeHTTP(w, r)
					})
				})
				for _, body := range []string{"token=x&amount=1", "token=x&amount=1000"} {
					r := s.post("taken", body)
					r.Header.Set("Content-Type", form)
					if chunked {
						r.Body, r.ContentLength, r.GetBody = io.NopCloser(strings.NewReader(body)), -1, nil
					}
					s.send(r).requireProblem(t, http.StatusInternalServerError, "internal")
				}
				require.Zero(t, s.runs.Load())
			})
		}
	}
}

// TestHTTPFilesThatWereTaken leave no value of a form behind.
func TestHTTPFilesThatWereTaken(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.serveInside(idemhttp.Config{}, f.works, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			assert.NoError(t, r.ParseMultipartForm(1<<20))
			next.ServeHTTP(w, r)
		})
	})
	const form = "--b\r\nContent-Disposition: form-data; name=\"a\"; filename=\"a\"\r\n\r\nhello\r\n--b--\r\n"
	r := s.post("files", form)
	r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
	r.Body, r.ContentLength, r.GetBody = io.NopCloser(strings.NewReader(form)), -1, nil
	s.send(r).requireProblem(t, http.StatusInternalServerError, "internal")
	require.Zero(t, s.runs.Load())
}

// TestHTTPHalfABodyIsUndone: a handler whose own source has broken off. Without
// the middleware the connection is cut, so that nobody takes half for the whole.
func TestHTTPHalfABodyIsUndone(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.serve(idemhttp.Config{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		f.works(w, r)
	})
	s.send(s.post("half", "{}")).requireProblem(t, http.StatusInternalServerError, "internal")
	require.Zero(t, f.effects("half"))
	require.Zero(t, f.rows("half"))
}

// TestHTTPWhichTypesAreTheSame: as far as readers may differ on what a body is,
// requests differ.
func TestHTTPWhichTypesAreTheSame(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		first, second []string
		status        int
	}{
		"another parameter":       {[]string{"text/plain; charset=utf-8"}, []string{"text/plain; charset=utf-16"}, 422},
		"another boundary":        {[]string{"multipart/form-data; boundary=a"}, []string{"multipart/form-data; boundary=b"}, 422},
		"a second type":           {[]string{"text/plain"}, []string{"text/plain", "text/html"}, 422},
		"another that is none":    {[]string{"text/plain, a"}, []string{"text/html, b"}, 422},
		"one that is none":        {[]string{"text/plain, a"}, nil, 422},
		"the spelling":            {[]string{"text/plain;charset=utf-8"}, []string{"TEXT/plain; charset=\"utf-8\""}, 201},
		"JSON twice":              {[]string{"text/plain"}, []string{"application/json", "application/json"}, 400},
		"JSON behind another":     {[]string{"text/plain"}, []string{"text/plain", "application/json"}, 400},
		"JSON and what is no end": {[]string{"text/plain"}, []string{"application/json charset=utf-8"}, 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			s := f.serve(idemhttp.Config{}, f.works)
			for i, types := range [][]string{test.first, test.second} {
				r := s.post("types", `{"amount": 1, "amount": 1000}`)
				r.Header["Content-Type"] = types
				want := http.StatusCreated
				if i == 1 {
					want = test.status
				}
				got := s.send(r)
				require.Equal(t, want, got.status, got.body)
			}
			require.Equal(t, 1, f.effects("types"))
		})
	}
}
