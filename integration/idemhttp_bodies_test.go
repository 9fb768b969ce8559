package integration

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
)

// gzipped is text as a client that compresses sends it.
func gzipped(tb testing.TB, text string) string {
	tb.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := io.WriteString(w, text)
	require.NoError(tb, err)
	require.NoError(tb, w.Close())
	return b.String()
}

// form is a multipart body of one field and one file.
func form(tb testing.TB, boundary, field, file string) string {
	tb.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	require.NoError(tb, w.SetBoundary(boundary))
	require.NoError(tb, w.WriteField("sku", field))
	part, err := w.CreateFormFile("file", "a.bin")
	require.NoError(tb, err)
	_, err = io.WriteString(part, file)
	require.NoError(tb, err)
	require.NoError(tb, w.Close())
	return b.String()
}

// sent is a body and what its headers say of it.
type sent struct{ contentType, encoding, body string }

func (b sent) request(s *service, key string) *http.Request {
	r := s.post(key, b.body)
	r.Header.Del("Content-Type")
	for name, value := range map[string]string{"Content-Type": b.contentType, "Content-Encoding": b.encoding} {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	return r
}

// TestHTTPWhichBodiesAreTheSame: JSON is compared by what it says, and all else
// by its bytes.
func TestHTTPWhichBodiesAreTheSame(t *testing.T) {
	t.Parallel()
	const (
		plain     = "application/json"
		formType  = "application/x-www-form-urlencoded"
		multipart = "multipart/form-data; boundary="
	)
	text := `{"a": 1, "b": [2, 3]}`
	packed := gzipped(t, text)
	for name, test := range map[string]struct {
		first sent
		same  []sent
		other []sent
	}{
		"JSON": {
			sent{plain, "", text},
			[]sent{{plain, "", `{"b":[2,3],"a":1}`}, {plain + "; charset=utf-8", "", text}, {"APPLICATION/JSON", "", " " + text + "\n"}},
			[]sent{{plain, "", `{"b":[3,2],"a":1}`}, {plain, "", `{"a":1,"b":[2,3],"c":null}`}, {"text/json", "", text}, {"", "", text}, {plain, "", ""}},
		},
		"what is no JSON though it looks like it": {
			sent{"text/plain", "", text},
			[]sent{{"Text/Plain", "", text}},
			[]sent{
				{"text/plain", "", `{"b":[2,3],"a":1}`},
				{"text/plain", "", text + " "},
				{"text/plain; charset=utf-16", "", text},
				{plain, "", text},
			},
		},
		"a form": {
			sent{formType, "", "a=1&b=2"},
			[]sent{{formType, "", "a=1&b=2"}},
			[]sent{{formType, "", "b=2&a=1"}, {formType, "", "a=%31&b=2"}, {formType, "", "a=1&b=2&"}, {"text/plain", "", "a=1&b=2"}},
		},
		"a form with a file": {
			sent{multipart + "one", "", form(t, "one", "lamp", "\x00\xff")},
			[]sent{{multipart + "one", "", form(t, "one", "lamp", "\x00\xff")}},
			[]sent{
				{multipart + "two", "", form(t, "two", "lamp", "\x00\xff")}, // who retries keeps the boundary
				{multipart + "two", "", form(t, "one", "lamp", "\x00\xff")},
				{multipart + "one", "", form(t, "one", "lamp", "\x00\xfe")},
				{multipart + "one", "", form(t, "one", "vase", "\x00\xff")},
			},
		},
		"no body": {
			sent{"", "", ""},
			[]sent{{"", "", ""}},
			[]sent{{"", "", "{}"}, {plain, "", ""}, {"", "", "\n"}},
		},
		"no JSON of that type": {
			sent{plain, "", ""},
			[]sent{{plain, "", ""}},
			[]sent{{plain, "", "null"}, {plain, "", "{}"}, {"", "", ""}},
		},
		"a compressed body": {
			sent{plain, "gzip", packed},
			[]sent{{plain, "gzip", packed}},
			[]sent{
				{plain, "gzip", gzipped(t, `{"a":1,"b":[2,3]}`)},
				{plain, "", text},
				{plain, "br", packed},
				{"text/plain", "gzip", packed},
			},
		},
		"compressed bytes": {
			sent{"application/octet-stream", "", packed},
			[]sent{{"application/octet-stream", "", packed}},
			[]sent{{"application/octet-stream", "gzip", packed}},
		},
		"half of what was compressed": { // which only the handler can know
			sent{plain, "gzip", packed[:10]},
			[]sent{{plain, "gzip", packed[:10]}},
			[]sent{{plain, "gzip", packed}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			s := f.serve(idemhttp.Config{}, func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				assert.NoError(t, err)
				assert.Equal(t, test.first.body, string(body), "the handler gets the bytes that were sent")
				assert.Equal(t, test.first.encoding, r.Header.Get("Content-Encoding"))
				f.works(w, r)
			})
			require.Equal(t, http.StatusCreated, s.send(test.first.request(s, "body")).status)
			for i, again := range test.same {
				require.True(t, s.send(again.request(s, "body")).replayed(), "%d", i)
			}
			for _, other := range test.other {
				got := s.send(other.request(s, "body"))
				got.requireProblem(t, http.StatusUnprocessableEntity, "mismatch")
			}
			require.Equal(t, 1, f.effects("body"))
		})
	}
}

// TestHTTPHandlerReadsAForm: what the middleware has read is there for all the
// ways in which a handler reads.
func TestHTTPHandlerReadsAForm(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.serve(idemhttp.Config{}, func(w http.ResponseWriter, r *http.Request) {
		if err := f.insert(r, r.FormValue("sku")); err != nil {
			panic(err)
		}
		if file, _, err := r.FormFile("file"); err == nil {
			defer file.Close()
			_, _ = io.Copy(w, file)
		}
		fmt.Fprint(w, r.FormValue("dry"), r.ContentLength)
	})
	file := form(t, "one", "vase", "\x00\xff")
	for _, test := range []struct {
		sent
		sku, want string
	}{
		{sent{"application/x-www-form-urlencoded", "", "sku=lamp"}, "lamp", "08"},
		{sent{"multipart/form-data; boundary=one", "", file}, "vase", "\x00\xff0" + fmt.Sprint(len(file))},
	} {
		for i := range 2 {
			r := test.request(s, test.sku)
			if i == 0 {
				r.ContentLength = -1 // in chunks: the handler is told the length nonetheless
			}
			got := s.send(r)
			require.Equal(t, test.want, got.body)
			require.Equal(t, i == 1, got.replayed())
		}
		require.Equal(t, 1, f.effects(test.sku))
	}
}

// TestHTTPHandlerReadsTrailers: they come behind the body, which the middleware
// has read.
func TestHTTPHandlerReadsTrailers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.serve(idemhttp.Config{}, func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, http.Header{"X-Sum": {"1"}}, r.Trailer)
		f.works(w, r)
	})
	for i := range 2 {
		w := s.start("Idempotency-Key: trailers", "X-User: annabel", "Transfer-Encoding: chunked", "Trailer: X-Sum")
		w.write("5", "hello", "0", "X-Sum: 1", "")
		got := w.read()
		require.Equal(t, "done", got.body)
		require.Equal(t, i == 1, got.replayed())
	}
	require.Equal(t, 1, f.effects("trailers"))
}

// TestHTTPLargeBodyIsWhole: a body of the limit's length arrives in many pieces.
func TestHTTPLargeBodyIsWhole(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	large := strings.Repeat("0123456789abcdef", 1<<16) // 1 MiB, the default
	s := f.serve(idemhttp.Config{}, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		assert.Equal(t, large, string(body))
		f.works(w, r)
	})
	for i := range 2 {
		r := sent{"text/plain", "", large}.request(s, "large")
		got := s.send(r)
		require.Equal(t, "done", got.body)
		require.Equal(t, i == 1, got.replayed())
	}
	other := sent{"text/plain", "", large[:1<<20-1] + "x"}
	s.send(other.request(s, "large")).requireProblem(t, http.StatusUnprocessableEntity, "mismatch")
}
