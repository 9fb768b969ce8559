package idemhttp

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

func post(target, contentType, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, target, strings.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return r
}

func TestOperation(t *testing.T) {
	t.Parallel()
	const query = "sha256:a746b90cddac3e075db2f0c7b65aa5d09a354bef1562352d9dab3156d1142834"
	for _, test := range []struct{ target, contentType, want string }{
		{"/orders", "", "POST /orders "},
		{"/orders?b=2&a=1", "", "POST /orders?" + query + " "},
		{"/orders?", "", "POST /orders "},
		{"/a%2Fb/%20c", "", "POST /a%2Fb/%20c "},
		{"//a//b/../c", "", "POST //a//b/../c "},
		{"http://one.example/orders?b=2&a=1", "", "POST /orders?" + query + " "},
		{"http://other.example/orders?b=2&a=1", "", "POST /orders?" + query + " "},
		{"/orders", "application/json", "POST /orders application/json"},
		{"/orders", "Application/JSON; charset=utf-8", "POST /orders application/json"},
		{"/orders", "text/plain", "POST /orders text/plain"},
		{"/orders", "text/plain; charset=utf-8", "POST /orders text/plain;" + hashed("text/plain; charset=utf-8")},
		{"/orders", "Text/plain;charset=\"utf-8\"", "POST /orders text/plain;" + hashed("text/plain; charset=utf-8")},
		{"/orders", "text/plain; charset=", "POST /orders text/plain;" + hashed("text/plain; charset=")},
		{"/orders", "text/plain; a=1; a=2", "POST /orders " + hashed("text/plain; a=1; a=2")},
		{"/orders", "no type at all", "POST /orders " + hashed("no type at all")},
	} {
		r := post(test.target, test.contentType, "")
		require.Equal(t, test.want, operation(r, contentOf(r)), test)
	}
}

func TestOperationIsWhatTheClientAskedFor(t *testing.T) {
	t.Parallel()
	var got string
	http.StripPrefix("/v2", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = r.URL.Path + " " + operation(r, content{})
	})).ServeHTTP(httptest.NewRecorder(), post("/v2/orders", "", ""))
	require.Equal(t, "/orders POST /v2/orders ", got)

	made := &http.Request{Method: http.MethodPatch, URL: &url.URL{Path: "/a b", RawQuery: "c"}}
	require.Equal(t, "PATCH /a%20b?"+hashed("c")+" ", operation(made, content{}), "a request that came over no wire")
}

// TestTheCodingIsAPartOfTheOperation: the same bytes are another body when they
// are said to be compressed.
func TestTheCodingIsAPartOfTheOperation(t *testing.T) {
	t.Parallel()
	for want, values := range map[string][]string{
		"POST / text/plain":         {"Identity"},
		"POST / text/plain gzip":    {" GZIP "},
		"POST / text/plain br,gzip": {"br", " gzip"},
	} {
		r := post("/", "text/plain", "")
		r.Header["Content-Encoding"] = values
		require.Equal(t, want, operation(r, contentOf(r)))
	}
}

// TestEveryOperationCanBeFingerprinted, however long or strange it is, and no
// two of them are one.
func TestEveryOperationCanBeFingerprinted(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 2000)
	seen := make(map[string]bool)
	for _, r := range []*http.Request{
		post("/", "", ""),
		post("/"+long, "", ""),
		post("/"+long+"x", "", ""),
		post("/"+long+"?a", "", ""),
		post("/?"+long, "", ""),
		post("/?"+long+"x", "", ""),
		post("/?\xff", "", ""),
		post("x:\xff", "", ""),
		post("/\xff", "", ""),
		post("/", "a/"+long, ""),
	} {
		name := operation(r, contentOf(r))
		require.LessOrEqual(t, len(name), longest)
		_, err := idemtx.FingerprintOf(name, content{}.payload(nil))
		require.NoError(t, err, r.RequestURI)
		require.False(t, seen[name], r.RequestURI)
		seen[name] = true
	}
}

func TestPayload(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		contentType, encoding, body string
		want                        any
	}{
		{"application/json", "", `{"a": 1}`, json.RawMessage(`{"a": 1}`)},
		{"application/json; charset=utf-8", "identity", `1`, json.RawMessage(`1`)},
		{"application/merge-patch+json", "", `{`, json.RawMessage(`{`)},
		{"application/json", "gzip", `{"a": 1}`, idemtx.Raw(`{"a": 1}`)},
		{"application/json", "", "", idemtx.Raw("")},
		{"application/json-seq", "", `1`, idemtx.Raw(`1`)},
		{"text/plain; note=json", "", `1`, idemtx.Raw(`1`)},
		{"application/json;", "", `1`, json.RawMessage(`1`)},
		{"application/json, application/json", "", `1`, json.RawMessage(`1`)},
		{"APPLICATION/JSON charset=utf-8", "", `1`, json.RawMessage(`1`)},
		{"application/json; a=1; a=2", "", `1`, json.RawMessage(`1`)},
		{"text/plain", "", `{"a": 1}`, idemtx.Raw(`{"a": 1}`)},
		{"", "", `{"a": 1}`, idemtx.Raw(`{"a": 1}`)},
	} {
		r := post("/", test.contentType, test.body)
		r.Header.Set("Content-Encoding", test.encoding)
		require.Equal(t, test.want, contentOf(r).payload([]byte(test.body)), test)
	}
}

func TestReadBody(t *testing.T) {
	t.Parallel()
	read := func(r *http.Request) (string, error) {
		body, err := readBody(r, 5)
		return string(body), err
	}
	body, err := read(post("/", "", "12345"))
	require.NoError(t, err)
	require.Equal(t, "12345", body)

	announced := post("/", "", "123456")
	_, err = read(announced)
	require.Equal(t, bodyTooLarge, err)
	unread, err := io.ReadAll(announced.Body)
	require.NoError(t, err)
	require.Len(t, unread, 6)

	chunked := post("/", "", "123456")
	chunked.ContentLength = -1
	_, err = read(chunked)
	require.Equal(t, bodyTooLarge, err)

	body, err = read(post("/", "", ""))
	require.NoError(t, err)
	require.Empty(t, body)

	body, err = read(&http.Request{})
	require.NoError(t, err)
	require.Empty(t, body)

	broken := post("/", "", "")
	broken.Body = io.NopCloser(io.MultiReader(strings.NewReader("1"), iotest.ErrReader(errors.New("secret"))))
	_, err = read(broken)
	require.Equal(t, bodyIncomplete, err)

	taken := post("/", "", "a=1")
	taken.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	require.NoError(t, taken.ParseForm())
	_, err = read(taken)
	require.ErrorIs(t, err, errBodyTaken)
	taken.ContentLength = -1
	_, err = read(taken)
	require.ErrorIs(t, err, errBodyTaken, "a form of unknown length")

	unpacked := post("/", "", "1234")
	unpacked.ContentLength = 5
	body, err = read(unpacked)
	require.NoError(t, err, "what has decompressed the body need not know its length")
	require.Equal(t, "1234", body)
}
