package idemhttp

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// pipes is a listener for connections within the process.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	conn, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}
func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{} }

// overTheWire returns what sends a response with a server of net/http, and the
// bytes that this makes of it.
func overTheWire(tb testing.TB) func(t *testing.T, method string, r Response) []byte {
	tb.Helper()
	connections, responses := make(pipes), make(chan Response, 1)
	srv := &http.Server{
		ErrorLog: log.New(io.Discard, "", 0), // it complains of lengths that are none
		Handler:  http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { (<-responses).Send(w) }),
	}
	go func() { _ = srv.Serve(connections) }()
	tb.Cleanup(func() {
		close(connections)
		_ = srv.Close()
	})
	return func(t *testing.T, method string, r Response) []byte {
		t.Helper()
		client, server := net.Pipe()
		defer client.Close()
		require.NoError(t, client.SetDeadline(time.Now().Add(time.Minute))) // a response without an end fails the test
		responses <- r
		connections <- server
		_, err := io.WriteString(client, method+" / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
		require.NoError(t, err)
		sent, err := io.ReadAll(client)
		require.NoError(t, err)
		return sent
	}
}

// requireOne requires the bytes to be the response and nothing else, by rules
// that know only lines: a header that r does not have, or a body that is not all
// that follows, is what an attacker has made of it.
func requireOne(t *testing.T, sent []byte, method string, r Response) {
	t.Helper()
	head, body, whole := strings.Cut(string(sent), "\r\n\r\n")
	require.True(t, whole)
	lines := strings.Split(head, "\r\n")
	require.True(t, strings.HasPrefix(lines[0], "HTTP/1.1 "+strconv.Itoa(r.Status)+" "), lines[0])
	lengths := 0
	for _, line := range lines[1:] {
		require.False(t, strings.ContainsAny(line, "\r\n"), "%q", line)
		name, value, isHeader := strings.Cut(line, ": ")
		require.True(t, isHeader, "%q", line)
		switch canonical := http.CanonicalHeaderKey(name); canonical {
		case "Transfer-Encoding", "Trailer":
			t.Fatalf("%q", line)
		case "Content-Length":
			lengths++
			if method != http.MethodHead {
				require.Equal(t, strconv.Itoa(len(r.Body)), value)
			}
		case "Date", "Connection":
		default:
			if _, isOurs := r.Header[name]; isOurs || canonical != "Content-Type" { // which net/http may guess
				require.Contains(t, oneLined(r.Header[name]), value, "%q", line)
			}
		}
	}
	require.LessOrEqual(t, lengths, 1)
	if method == http.MethodHead || !hasBody(r.Status) {
		require.Empty(t, body)
	} else {
		require.Equal(t, string(r.Body), body)
		require.Equal(t, 1, lengths)
	}
	requireReadAsOne(t, sent, method, r)
}

func oneLined(values []string) []string {
	return mapped(values, func(v string) string { return textproto.TrimString(newlines.Replace(v)) })
}

// requireReadAsOne is requireOne by net/http, which reads no response at all that
// has a control character in a header.
func requireReadAsOne(t *testing.T, sent []byte, method string, r Response) {
	t.Helper()
	in := bufio.NewReader(bytes.NewReader(sent))
	response, err := http.ReadResponse(in, &http.Request{Method: method})
	if err != nil {
		head, _, _ := bytes.Cut(sent, []byte("\r\n\r\n"))
		require.True(t, bytes.ContainsFunc(head, func(c rune) bool { return c < ' ' && c != '\r' && c != '\n' || c == 0x7f }), err)
		return
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	if method != http.MethodHead && hasBody(r.Status) {
		require.Equal(t, string(r.Body), string(body))
	}
	rest, err := io.ReadAll(in)
	require.NoError(t, err)
	require.Empty(t, rest)
	require.Empty(t, response.Trailer)
}

const second = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

// FuzzNoResponseIsTwo has a handler reply with headers that an attacker has
// chosen, and looks at what is sent first and what is replayed.
func FuzzNoResponseIsTwo(f *testing.F) {
	for _, seed := range []struct{ name, value, other, body string }{
		{"Location", "/\r\nX-Injected: 1\r\n\r\n" + second, "x-own", "hello"},
		{"X-A: 1\r\nX-Injected", "1", "", "hello"},
		{"content-length", "0", "Content-Length", second},
		{"Content-Length", "-1", "CONTENT-LENGTH", ""},
		{"transfer-encoding", "chunked", "Transfer-Encoding", "0\r\n\r\n" + second},
		{"connection", "X-Hop", "X-Hop", "hello"},
		{"Trailer", "X-Sum", "X-Sum", "hello"},
		{http.TrailerPrefix + "X-Sum", "1", "trailer", "hello"},
		{"X-\u010d\u010a", "\u010d\u010aX-Injected: 1", "\x00", "\xff"},
		{"Set-Cookie", "a=1", "date", "hello"},
		{"X-A ", " 1 ", "X-A", "hello"},
	} {
		f.Add(uint16(http.StatusOK), false, seed.name, seed.value, seed.other, []byte(seed.body))
		f.Add(uint16(http.StatusNoContent), true, seed.name, seed.value, seed.other, []byte(seed.body))
	}
	send := overTheWire(f)
	f.Fuzz(func(t *testing.T, status uint16, head bool, name, value, other string, body []byte) {
		method := http.MethodPost
		if head {
			method = http.MethodHead
		}
		rec := &recorder{header: http.Header{name: {value, "v"}, other: {value}}, room: len(body)}
		rec.WriteHeader(200 + int(status)%800)
		_, _ = rec.Write(body)
		response, err := rec.finish()
		if err != nil {
			return
		}
		first, err := unlimited.complete(response, method)
		if err != nil {
			return
		}
		requireOne(t, send(t, method, first), method, first)
		replay := restored(t, first)
		requireOne(t, send(t, method, replay), method, replay)
		require.Equal(t, first.Status, replay.Status)
		require.Equal(t, string(first.Body), string(replay.Body))
		require.Equal(t, storable(first.Header), replay.Header, "nothing else comes back")
		require.Equal(t, replay, restored(t, replay))
	})
}

// FuzzNoRowIsTwoResponses sends what anyone may have written into the table.
func FuzzNoRowIsTwoResponses(f *testing.F) {
	for _, header := range []string{
		`null`, `{}`, `{"X-A":null}`, `{"X-A":["v\r\nX-Injected: 1"]}`, `{"X-A: v\r\nX-Injected":["1"]}`, `{"":[""]}`,
		`{"X-\u010a":["\u010d\u010a"]}`, `{"content-length":["0"],"Content-Length":["1"]}`, `{"transfer-encoding":["chunked"]}`,
		`{"Trailer":["X-A"],"Trailer:X-A":["1"]}`, `{"Connection":["x-a"],"X-A":["1"]}`, `{"Set-Cookie":["a"],"Date":["b"]}`,
	} {
		f.Add([]byte(`{"v":1,"status":200,"header":`+header+`}`), []byte("0\r\n\r\n"+second))
		f.Add([]byte(`{"v":1,"status":304,"header":`+header+`}`), []byte(nil))
	}
	for _, status := range []string{"-1", "0", "99", "101", "199", "1000", "200.5", `"200"`, "1e3", "null"} {
		f.Add([]byte(`{"v":1,"status":`+status+`,"header":{}}`), []byte(nil))
	}
	send := overTheWire(f)
	f.Fuzz(func(t *testing.T, row, body []byte) {
		var r Response
		if err := r.UnmarshalReply(json.RawMessage(row), body); err != nil {
			require.Equal(t, errRecord, err, "which quotes nothing")
			require.Zero(t, r)
			return
		}
		require.Equal(t, storable(r.Header), r.Header)
		require.Equal(t, r, restored(t, r))
		method := http.MethodPost
		if len(body) == 0 {
			method = http.MethodHead // which may have the length of another body
		}
		requireOne(t, send(t, method, r), method, r)
	})
}
