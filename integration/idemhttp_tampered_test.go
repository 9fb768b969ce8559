package integration

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
)

// injected is a response that nobody is to get as one.
const injected = "HTTP/1.1 200 OK\r\nX-Injected: 1\r\nContent-Length: 0\r\n\r\n"

// alone sends a request on a connection of its own, and requires the answer to be
// one response as every client reads it: with one length, and nothing behind it.
func (s *service) alone(key string) heard {
	s.t.Helper()
	w := s.start("Idempotency-Key: "+key, "X-User: annabel", "Content-Length: 0", "Connection: close")
	got := w.read()
	w.closes()
	require.NotContains(s.t, got.header, "X-Injected")
	require.NotContains(s.t, got.header, "Transfer-Encoding")
	require.LessOrEqual(s.t, len(got.header["Content-Length"]), 1)
	return got
}

// TestHTTPHandlerCannotSplitItsResponse: what a client has smuggled through a
// handler into a header stays in its line, when it is sent and when it is
// replayed.
func TestHTTPHandlerCannotSplitItsResponse(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		header http.Header
		body   string
	}{
		"a header in a value":         {http.Header{"X-A": {"v\r\nX-Injected: 1"}}, "hello"},
		"a bare line feed":            {http.Header{"X-A": {"v\nX-Injected: 1"}}, "hello"},
		"a bare carriage return":      {http.Header{"X-A": {"v\rX-Injected: 1"}}, "hello"},
		"a response in a value":       {http.Header{"Location": {"/\r\nContent-Length: 0\r\n\r\n" + injected}}, "hello"},
		"a line that goes on":         {http.Header{"X-A": {"v\r\n X-Injected: 1"}}, "hello"},
		"a header in a name":          {http.Header{"X-A: v\r\nX-Injected": {"1"}}, "hello"},
		"a response in a name":        {http.Header{"X-A: v\r\n\r\n" + injected: {"1"}}, "hello"},
		"a colon in a name":           {http.Header{"X-Injected: 1": {"v"}}, "hello"},
		"a space behind a name":       {http.Header{"X-Injected ": {"1"}}, "hello"},
		"no name":                     {http.Header{"": {"X-Injected: 1"}}, "hello"},
		"a NUL in a name":             {http.Header{"X-\x00Injected": {"1"}}, "hello"},
		"letters that end in CR, LF":  {http.Header{"X-A": {"v\u010d\u010aX-Injected: 1"}}, "hello"},
		"bytes that are no text":      {http.Header{"X-A": {"\x8d\x8aX-Injected: 1\xff"}}, "hello"},
		"another length, in its case": {http.Header{"content-length": {"0"}}, injected},
		"a length without a body":     {http.Header{"content-length": {"100"}}, ""},
		"chunks":                      {http.Header{"Transfer-Encoding": {"chunked"}}, "0\r\n\r\n" + injected},
		"chunks, in their case":       {http.Header{"transfer-encoding": {"chunked"}}, "0\r\n\r\n" + injected},
		"no end":                      {http.Header{"Transfer-Encoding": {"identity"}}, injected},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			s := f.serve(idemhttp.Config{}, func(w http.ResponseWriter, r *http.Request) {
				if err := f.insert(r, "split"); err != nil {
					panic(err)
				}
				for name, values := range test.header {
					w.Header()[name] = values
				}
				_, _ = io.WriteString(w, test.body)
			})
			first, second := s.alone("split"), s.alone("split")
			require.Equal(t, http.StatusOK, first.status)
			require.Equal(t, test.body, first.body)
			require.True(t, second.replayed())
			second.header = ofTheReply(second.header)
			require.Equal(t, heard{http.StatusOK, ofTheReply(first.header), test.body}, second)
			require.Equal(t, 1, f.effects("split"))
		})
	}
}

// tampered makes a service with one reply in the store, which it overwrites.
func tampered(t *testing.T, response, body string) *service {
	t.Helper()
	f := newFixture(t)
	s := f.serve(idemhttp.Config{Methods: []string{http.MethodHead, http.MethodPost}}, f.works)
	require.Equal(t, http.StatusCreated, s.alone("tampered").status)
	f.overwrite(response, body)
	return s
}

func (f *fixture) overwrite(response, body string) {
	f.t.Helper()
	ask[string](f.t, "UPDATE "+f.table()+" SET response = $1, body = $2 RETURNING key", response, []byte(body))
}

// TestHTTPRowsThatAreNoReply: a row that someone has written by hand is answered
// with a problem, and the work is not done again.
func TestHTTPRowsThatAreNoReply(t *testing.T) {
	t.Parallel()
	for name, response := range map[string]string{
		"null":                       `null`,
		"a list":                     `[]`,
		"a text":                     `"secret"`,
		"nothing":                    `{}`,
		"no version":                 `{"status":200,"header":{}}`,
		"an older version":           `{"v":0,"status":200,"header":{}}`,
		"a negative version":         `{"v":-1,"status":200,"header":{}}`,
		"a newer version":            `{"v":2,"status":200,"header":{}}`,
		"a huge version":             `{"v":1e400,"status":200,"header":{}}`,
		"a version in words":         `{"v":"1","status":200,"header":{}}`,
		"no status":                  `{"v":1,"header":{}}`,
		"a status of no request":     `{"v":1,"status":99,"header":{}}`,
		"Continue":                   `{"v":1,"status":100,"header":{}}`,
		"Switching Protocols":        `{"v":1,"status":101,"header":{"Upgrade":["websocket"],"Connection":["Upgrade"]}}`,
		"a status of four digits":    `{"v":1,"status":1000,"header":{}}`,
		"a negative status":          `{"v":1,"status":-200,"header":{}}`,
		"a huge status":              `{"v":1,"status":18446744073709551816,"header":{}}`,
		"a status with a fraction":   `{"v":1,"status":200.5,"header":{}}`,
		"a status in words":          `{"v":1,"status":"200 OK\r\nX-Injected: 1","header":{}}`,
		"headers that are a list":    `{"v":1,"status":200,"header":["X-Injected"]}`,
		"a value that is no list":    `{"v":1,"status":200,"header":{"X-Injected":"1"}}`,
		"a value that is a number":   `{"v":1,"status":200,"header":{"X-Injected":[1]}}`,
		"a value that is a list":     `{"v":1,"status":200,"header":{"X-Injected":[["1"]]}}`,
		"a value that is an object":  `{"v":1,"status":200,"header":{"X-Injected":[{"1":1}]}}`,
		"headers that are an object": `{"v":1,"status":200,"header":{"X-Injected":{"1":1}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := tampered(t, response, "secret")
			for range 2 {
				got := s.alone("tampered")
				got.requireProblem(t, http.StatusInternalServerError, "internal")
				require.NotContains(t, got.header, "Idempotency-Expires")
				require.NotContains(t, got.header, "Upgrade")
			}
			require.EqualValues(t, 1, s.runs.Load(), "the work is done")
		})
	}
}

// TestHTTPRowsThatWouldSplit: what no handler could have stored is taken out, or
// the whole is refused; never are there two responses, or two lengths of one.
func TestHTTPRowsThatWouldSplit(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ header, body string }{
		"a header in a value":         {`{"X-A":["v\r\nX-Injected: 1"]}`, "hello"},
		"a response in a value":       {`{"X-A":["v\r\n\r\nHTTP/1.1 200 OK\r\nX-Injected: 1"]}`, "hello"},
		"a header in a name":          {`{"X-A: v\r\nX-Injected":["1"]}`, "hello"},
		"letters that end in CR, LF":  {`{"X-A":["v\u010d\u010aX-Injected: 1"]}`, "hello"},
		"a name with such letters":    {`{"X-A: v\u010d\u010aX-Injected":["1"]}`, "hello"},
		"a name with a colon":         {`{"X-Injected: 1":["v"]}`, "hello"},
		"no name":                     {`{"":["X-Injected: 1"]}`, "hello"},
		"chunks":                      {`{"Transfer-Encoding":["chunked"]}`, "0\r\n\r\n" + injected},
		"chunks, in their case":       {`{"transfer-encoding":["chunked"]}`, "0\r\n\r\n" + injected},
		"no end":                      {`{"Transfer-Encoding":["identity"]}`, injected},
		"no length":                   {`{"content-length":[]}`, injected},
		"another length":              {`{"Content-Length":["0"]}`, injected},
		"another length, in its case": {`{"content-length":["0"]}`, injected},
		"two lengths":                 {`{"Content-Length":["0"],"content-length":["1"]}`, injected},
		"a length without a body":     {`{"Content-Length":["100"]}`, ""},
		"a length in its case":        {`{"content-length":["100"]}`, ""},
		"a length that is none":       {`{"Content-Length":["-1"]}`, "hello"},
		"a trailer":                   {`{"Trailer":["X-Sum"],"Trailer:X-Injected":["1"],"X-Sum":["1"]}`, "hello"},
		"a trailer, in its case":      {`{"trailer":["X-Injected"]}`, "hello"},
		"a connection":                {`{"Connection":["keep-alive"],"Keep-Alive":["timeout=60"]}`, "hello"},
		"an upgrade":                  {`{"Upgrade":["websocket"],"Connection":["Upgrade"]}`, "hello"},
		"a cookie":                    {`{"Set-Cookie":["session=injected"],"set-cookie":["session=injected"]}`, "hello"},
		"no headers":                  {`null`, "hello"},
		"no values":                   {`{"X-A":null}`, "hello"},
		"many headers":                {`{"X-A":["` + strings.Repeat(`v","`, 20_000) + `v"]}`, "hello"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := tampered(t, `{"v":1,"status":200,"header":`+test.header+`}`, test.body)
			got := s.alone("tampered")
			if got.status != http.StatusOK {
				got.requireProblem(t, http.StatusInternalServerError, "internal")
			} else {
				require.Equal(t, test.body, got.body)
				require.True(t, got.replayed())
			}
			for _, name := range []string{"Set-Cookie", "Upgrade", "Connection", "Keep-Alive", "Trailer"} {
				require.NotContains(t, got.header, name)
			}
			require.EqualValues(t, 1, s.runs.Load(), "the work is done")
		})
	}
}
