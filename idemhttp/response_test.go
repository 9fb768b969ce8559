package idemhttp

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

// allBytes is a string of all bytes, in order.
var allBytes = func() string {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return string(b)
}()

// TestTheRecordIsFrozen: rows that were written by a former release are read by
// this one. Whoever changes the record raises its version and reads both.
func TestTheRecordIsFrozen(t *testing.T) {
	t.Parallel()
	r := Response{
		Status: http.StatusCreated,
		Header: http.Header{"Content-Type": {"text/plain"}, "X-Latin": {"caf\xe9", ""}, "X-Nil": nil},
		Body:   []byte{0, 0xff},
	}
	response, body, err := r.MarshalReply()
	require.NoError(t, err)
	require.JSONEq(t,
		`{"v":1,"status":201,"header":{"Content-Type":["text/plain"],"X-Latin":["café",""],"X-Nil":null}}`,
		string(response))
	require.Equal(t, []byte{0, 0xff}, body)
	require.Equal(t, r, restored(t, r))
}

func TestEveryByteOfAReplyComesBack(t *testing.T) {
	t.Parallel()
	r := Response{
		Status: http.StatusOK,
		Header: http.Header{"X-Bytes": {newlines.Replace(allBytes)}, "x-Own-CASE": {"name"}},
		Body:   []byte(allBytes),
	}
	require.Equal(t, r, restored(t, r))
}

func TestARestoredBodyIsACopy(t *testing.T) {
	t.Parallel()
	row := []byte("row")
	var r Response
	require.NoError(t, r.UnmarshalReply(json.RawMessage(`{"v":1,"status":200,"header":{}}`), row))
	r.Body[0] = 'c'
	require.Equal(t, "row", string(row))
}

func TestARecordOfAnotherKindIsRefused(t *testing.T) {
	t.Parallel()
	for _, response := range []string{
		`{}`,
		`{"id":1}`,
		`null`,
		`"text"`,
		`{"v":2,"status":200,"header":{}}`,
		`{"v":1,"status":199,"header":{}}`,
		`{"v":1,"status":1000,"header":{}}`,
		`{"v":1,"status":"secret","header":{}}`,
	} {
		var r Response
		err := r.UnmarshalReply(json.RawMessage(response), nil)
		require.ErrorIs(t, err, errRecord, response)
		require.NotContains(t, err.Error(), "secret")
	}
}

func TestWhatIsOfOneSendingIsNotStored(t *testing.T) {
	t.Parallel()
	header := http.Header{
		"Set-Cookie":          {"session=secret"},
		"set-cookie":          {"other=secret"},
		"Authorization":       {"Bearer secret"},
		"Date":                {"Thu, 01 Jan 1970 00:00:00 GMT"},
		"Connection":          {"close, X-Hop", "x-other-hop"},
		"Keep-Alive":          {"timeout=5"},
		"Proxy-Connection":    {"close"},
		"Te":                  {"trailers"},
		"Upgrade":             {"h2c"},
		"Proxy-Authenticate":  {"Basic"},
		"Proxy-Authorization": {"Basic secret"},
		"X-Hop":               {"1"},
		"X-Other-Hop":         {"1"},
		"Proxy-Authentication-Info": {
			"nextnonce=1",
		},
		"Location": {"/orders/1"},
		"Etag":     {`"1"`},
	}
	response, _, err := Response{Status: 200, Header: header}.MarshalReply()
	require.NoError(t, err)
	require.JSONEq(t, `{"v":1,"status":200,"header":{"Etag":["\"1\""],"Location":["/orders/1"]}}`, string(response))
	require.Len(t, header, 16, "the first client gets them all")
}

// TestOuterHeadersStay: a header of the reply takes the place of one that outer
// middleware has set, but cookies and Vary add up.
func TestOuterHeadersStay(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	w.Header().Set("X-Request-Id", "outer")
	w.Header().Set("Cache-Control", "outer")
	w.Header().Set("Vary", "Origin")
	w.Header().Set("Set-Cookie", "outer=1")
	r := Response{Status: 200, Header: http.Header{
		"Cache-Control": {"inner"}, "Vary": {"Accept"}, "Set-Cookie": {"inner=1"},
	}}
	r.Send(w)
	require.Equal(t, http.Header{
		"X-Request-Id":  {"outer"},
		"Cache-Control": {"inner"},
		"Vary":          {"Origin", "Accept"},
		"Set-Cookie":    {"outer=1", "inner=1"},
	}, w.Result().Header)
}

func TestAReplyThatHasNoBodyHasNoLength(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusNoContent, http.StatusNotModified} {
		w := httptest.NewRecorder()
		Response{Status: status}.Send(w)
		require.Equal(t, status, w.Code)
		require.Empty(t, w.Header())
	}
}

func TestNoStatusIs200(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	Response{Body: []byte("hello")}.Send(w)
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, http.Header{"Content-Length": {"5"}}, w.Result().Header)
	require.Equal(t, http.StatusOK, restored(t, Response{}).Status)
}
