package integration

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
)

// ofTheReply is h without what differs from one sending to the next.
func ofTheReply(h http.Header) http.Header {
	h = h.Clone()
	for _, name := range []string{"Date", "Idempotency-Replayed", "Connection"} {
		h.Del(name)
	}
	return h
}

// TestHTTPCompressedReplyKeepsItsBytes: who unpacks a reply gets it packed, and
// who does not gets the same bytes and is told what they are.
func TestHTTPCompressedReplyKeepsItsBytes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	packed := gzipped(t, "hello")
	s := f.serve(idemhttp.Config{}, func(w http.ResponseWriter, r *http.Request) {
		if err := f.insert(r, "packed"); err != nil {
			panic(err)
		}
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Vary", "Accept-Encoding")
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, packed)
	})
	first := s.plain("packed", "{}")
	require.Equal(t, packed, first.body)
	second := s.plain("packed", "{}")
	require.True(t, second.replayed())
	second.header = ofTheReply(second.header)
	require.Equal(t, heard{http.StatusCreated, ofTheReply(first.header), packed}, second)
	require.Equal(t, "gzip", second.header.Get("Content-Encoding"))
	require.NotContains(t, second.header, "Content-Type", "the packed bytes are not what was sent")

	r := sent{"", "", "{}"}.request(s, "packed")
	r.URL.RawQuery = ""
	unpacked := s.send(r)
	require.Equal(t, "hello", unpacked.body)
	require.True(t, unpacked.replayed())
}

// TestHTTPWhichHeadersAreReplayed: the configuration names them in any spelling,
// and can leave headers out but not let those of one sending in.
func TestHTTPWhichHeadersAreReplayed(t *testing.T) {
	t.Parallel()
	never := []string{
		"set-cookie", "Authorization", "DATE", "connection", "Keep-Alive", "X-Hop", "proxy-authenticate", "Upgrade",
		"trailer", "Transfer-Encoding",
	}
	for name, test := range map[string]struct {
		config   idemhttp.Config
		replayed []string
	}{
		"all":                   {idemhttp.Config{}, []string{"Location", "X-Request-Id", "X-Own", "Etag"}},
		"some":                  {idemhttp.Config{AllowHeaders: []string{"location", "X-OWN"}}, []string{"Location", "X-Own"}},
		"none":                  {idemhttp.Config{AllowHeaders: []string{}}, nil},
		"all but some":          {idemhttp.Config{DenyHeaders: []string{"x-request-ID", "X-OWN"}}, []string{"Location", "Etag"}},
		"some but one":          {idemhttp.Config{AllowHeaders: []string{"Etag", "X-Own"}, DenyHeaders: []string{"eTAG"}}, []string{"X-Own"}},
		"what must not be":      {idemhttp.Config{AllowHeaders: never}, nil},
		"what Connection names": {idemhttp.Config{AllowHeaders: []string{"X-Hop"}}, nil},
		"all but Connection":    {idemhttp.Config{DenyHeaders: []string{"Connection"}}, []string{"Location", "X-Request-Id", "X-Own", "Etag"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			s := f.serve(test.config, func(w http.ResponseWriter, r *http.Request) {
				h := w.Header()
				h["Location"], h["X-Request-Id"], h["x-own"], h["Etag"] = []string{"v"}, []string{"v"}, []string{"v"}, []string{"v"}
				h["Set-Cookie"], h["set-cookie"] = []string{"a=secret"}, []string{"b=secret"}
				h["Authorization"], h["Date"] = []string{"secret"}, []string{"secret"}
				h["Connection"], h["X-Hop"], h["Keep-Alive"] = []string{"x-hop"}, []string{"secret"}, []string{"secret"}
				h["Proxy-Authenticate"], h["Upgrade"] = []string{"secret"}, []string{"secret"}
				h["Content-Type"], h["Content-Language"] = []string{"text/x"}, nil
				f.works(w, r)
			})
			first, second := s.plain("headers", "{}"), s.plain("headers", "{}")
			require.Equal(t, http.StatusCreated, first.status, first.body)
			for _, name := range []string{"Location", "X-Request-Id", "x-own", "Etag", "X-Hop", "Authorization", "Date", "Upgrade"} {
				require.Contains(t, first.header, http.CanonicalHeaderKey(name), "the first client gets all")
			}
			require.ElementsMatch(t, []string{"a=secret", "b=secret"}, first.header["Set-Cookie"])
			want := http.Header{
				"Content-Type": {"text/x"}, "Content-Length": {"4"},
				"Idempotency-Expires": first.header["Idempotency-Expires"],
			}
			for _, name := range test.replayed {
				want[name] = []string{"v"}
			}
			require.True(t, second.replayed())
			require.Equal(t, want, ofTheReply(second.header))
			require.NotEqual(t, "secret", second.header.Get("Date"))
			require.Zero(t, ask[int](t, "SELECT count(*) FROM "+f.table()+" WHERE response::text LIKE '%secret%'"))
		})
	}
}

// TestHTTPRepliesWithoutABody: HEAD, 204 and 304 are followed by no byte of a
// body, whatever the handler has written.
func TestHTTPRepliesWithoutABody(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		method, length string
		status         int
		err            error
		want           string // of the header Content-Length
	}{
		"HEAD":              {http.MethodHead, "", http.StatusOK, nil, "5"},
		"HEAD with a lie":   {http.MethodHead, "7", http.StatusOK, nil, "5"},
		"204":               {http.MethodPost, "", http.StatusNoContent, http.ErrBodyNotAllowed, ""},
		"204 with a length": {http.MethodPost, "5", http.StatusNoContent, http.ErrBodyNotAllowed, ""},
		"304":               {http.MethodPost, "", http.StatusNotModified, http.ErrBodyNotAllowed, ""},
		"HEAD and 304":      {http.MethodHead, "", http.StatusNotModified, http.ErrBodyNotAllowed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			s := f.serve(idemhttp.Config{Methods: []string{http.MethodHead, http.MethodPost}}, func(w http.ResponseWriter, r *http.Request) {
				if err := f.insert(r, "bare"); err != nil {
					panic(err)
				}
				w.Header().Set("Etag", `"1"`)
				if test.length != "" {
					w.Header().Set("Content-Length", test.length)
				}
				w.WriteHeader(test.status)
				_, err := io.WriteString(w, "hello")
				assert.ErrorIs(t, err, test.err)
			})
			for i := range 2 {
				w := s.dial()
				w.write(test.method+" /orders HTTP/1.1", "Host: a.example", "X-User: annabel", "Idempotency-Key: bare",
					"Connection: close", "")
				got := w.readTo(test.method)
				w.closes()
				require.Equal(t, test.status, got.status)
				require.Empty(t, got.body)
				require.Equal(t, i == 1, got.replayed())
				require.Equal(t, `"1"`, got.header.Get("Etag"))
				require.Equal(t, test.want, got.header.Get("Content-Length"))
			}
			require.Equal(t, 1, f.effects("bare"))
		})
	}
}

// TestHTTPLengthOfABodyThatIsNotSent: HEAD may tell that of the one GET would get.
func TestHTTPLengthOfABodyThatIsNotSent(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.serve(idemhttp.Config{Methods: []string{http.MethodHead}}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1234")
	})
	for range 2 {
		r := s.post("length", "")
		r.Method = http.MethodHead
		require.Equal(t, "1234", s.send(r).header.Get("Content-Length"))
	}
	require.EqualValues(t, 1, s.runs.Load())
}

// TestHTTPExpiresIsThatOfTheRow: the client is told how long it may ask again,
// and never longer than it may.
func TestHTTPExpiresIsThatOfTheRow(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const name = "Idempotency-Expires"
	policy := idemhttp.Policy{Decide: func(status int, _ http.Header) idemhttp.Decision {
		return map[int]idemhttp.Decision{201: idemhttp.Commit, 402: idemhttp.Keep}[status]
	}}
	s := f.serve(idemhttp.Config{Policy: policy}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(name, "Fri, 01 Jan 2100 00:00:00 GMT")
		w.WriteHeader(map[string]int{"commit": 201, "keep": 402, "forget": 500}[r.Header.Get("Idempotency-Key")])
	})
	for _, key := range []string{"commit", "keep"} {
		first, second := s.send(s.post(key, "{}")), s.send(s.post(key, "{}"))
		require.True(t, second.replayed())
		want := ask[string](t, `SELECT to_char(expires_at AT TIME ZONE 'UTC', 'Dy, DD Mon YYYY HH24:MI:SS "GMT"') FROM `+
			f.table()+" WHERE key = $1", key)
		require.Equal(t, []string{want}, first.header[name])
		require.Equal(t, []string{want}, second.header[name])
		at, err := http.ParseTime(want)
		require.NoError(t, err)
		require.True(t, at.After(time.Now()), "it has not expired")
		other := s.send(s.post(key, "[]"))
		other.requireProblem(t, http.StatusUnprocessableEntity, "mismatch")
		require.NotContains(t, other.header, name)
	}
	forgotten := s.send(s.post("forget", "{}"))
	require.Equal(t, http.StatusInternalServerError, forgotten.status)
	require.NotContains(t, forgotten.header, name, "it is not replayed at all, whatever the handler says")
}

// TestHTTPExpiresOfALaterRun: a key that is used anew has a new time.
func TestHTTPExpiresOfALaterRun(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.serve(idemhttp.Config{}, f.works)
	require.False(t, s.send(s.post("later", "{}")).replayed())
	f.expire("later")
	got := s.send(s.post("later", "{}"))
	require.False(t, got.replayed())
	at, err := http.ParseTime(got.header.Get("Idempotency-Expires"))
	require.NoError(t, err)
	require.True(t, at.After(time.Now()))
	require.Equal(t, 2, f.effects("later"))
}
