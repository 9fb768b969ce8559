package idemhttp

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// TestAGuessedTypeIsStored: a later release may guess another.
func TestAGuessedTypeIsStored(t *testing.T) {
	t.Parallel()
	rec := &recorder{header: make(http.Header), room: 10}
	_, err := io.WriteString(rec, "<!DOCTYPE")
	require.NoError(t, err)
	_, err = rec.Write([]byte(">"))
	require.NoError(t, err)
	response, err := rec.finish()
	require.NoError(t, err)
	require.Equal(t, "text/plain; charset=utf-8", response.Header.Get("Content-Type"))
}

func TestTrailersAreRefused(t *testing.T) {
	t.Parallel()
	for _, set := range []func(w http.ResponseWriter){
		func(w http.ResponseWriter) { w.Header().Set("Trailer", "X-Sum") },
		func(w http.ResponseWriter) { w.Header()["trailer"] = []string{"X-Sum"} },
		func(w http.ResponseWriter) { w.WriteHeader(200); w.Header().Set("Trailer", "X-Sum") },
		func(w http.ResponseWriter) { w.WriteHeader(200); w.Header().Set(http.TrailerPrefix+"X-Sum", "1") },
	} {
		rec := &recorder{header: make(http.Header), room: 10}
		set(rec)
		_, err := rec.finish()
		require.ErrorIs(t, err, errTrailers)
	}
	_, err := unlimited.complete(Response{Header: http.Header{http.TrailerPrefix + "X-Sum": {"1"}}}, http.MethodPost)
	require.ErrorIs(t, err, errTrailers, "in a response that was not recorded")
}

// TestALongBodyFailsEarly: the handler is told, what it has written is let go,
// and nothing that it writes later makes a whole of it.
func TestALongBodyFailsEarly(t *testing.T) {
	t.Parallel()
	rec := &recorder{header: make(http.Header), room: 10}
	n, err := rec.Write(make([]byte, 10))
	require.NoError(t, err)
	require.Equal(t, 10, n)
	for _, size := range []int{1, 0, 5} {
		n, err = rec.Write(make([]byte, size))
		require.ErrorIs(t, err, errTooLong)
		require.ErrorIs(t, err, idemtx.ErrReplyNotStorable)
		require.Zero(t, n)
		require.Nil(t, rec.response.Body)
	}
	_, err = rec.finish()
	require.ErrorIs(t, err, errTooLong)
}

func TestACompleteResponse(t *testing.T) {
	t.Parallel()
	p := &Protection{config: Config{}.withDefaults(), limit: 5}
	_, err := p.complete(Response{Body: make([]byte, 6)}, http.MethodPost)
	require.ErrorIs(t, err, errTooLong)
	for _, status := range []int{-1, 99, 101, 199, 1000} {
		_, err = p.complete(Response{Status: status}, http.MethodPost)
		require.ErrorIs(t, err, errStatus)
	}
	given := http.Header{
		"Content-Length":       {"5"},
		"transfer-encoding":    {"chunked"},
		"idempotency-replayed": {"true"},
		"Idempotency-Expires":  {"never"},
		"X-Split":              {"a\r\nSet-Cookie: b"},
		"X-Split\r\nA":         {"b"},
		"":                     {"b"},
	}
	got, err := p.complete(Response{Header: given, Body: []byte("hello")}, http.MethodPost)
	require.NoError(t, err)
	require.Equal(t, Response{http.StatusOK, http.Header{"X-Split": {"a  Set-Cookie: b"}}, []byte("hello")}, got)
	require.Len(t, given, 7)

	got, err = p.complete(Response{Header: given}, http.MethodHead)
	require.NoError(t, err)
	require.Equal(t, "5", got.Header.Get("Content-Length"))

	got, err = p.complete(Response{Status: http.StatusNotModified, Header: given}, http.MethodPost)
	require.NoError(t, err)
	require.Empty(t, got.Header.Get("Content-Length"))

	got, err = p.complete(Response{Status: http.StatusNoContent, Body: []byte("hello")}, http.MethodPost)
	require.NoError(t, err)
	require.Empty(t, got.Body)

	got, err = p.complete(Response{}, http.MethodPost)
	require.NoError(t, err)
	require.Equal(t, Response{Status: http.StatusOK, Header: http.Header{}}, got)
}

// TestHalfABodyIsNoReply: net/http would have cut the connection, and the client
// would know.
func TestHalfABodyIsNoReply(t *testing.T) {
	t.Parallel()
	for _, length := range []string{"0", "4", "6"} {
		r := Response{Header: http.Header{"Content-Length": {length}}, Body: []byte("hello")}
		_, err := unlimited.complete(r, http.MethodPost)
		require.ErrorIs(t, err, errLength)
		require.ErrorIs(t, err, idemtx.ErrReplyNotStorable)
	}
	for _, length := range []string{"5", "-1", "a", ""} {
		r := Response{Header: http.Header{"Content-Length": {length}}, Body: []byte("hello")}
		_, err := unlimited.complete(r, http.MethodPost)
		require.NoError(t, err, length)
	}
}
