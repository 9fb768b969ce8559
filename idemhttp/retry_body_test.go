package idemhttp_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// failing is a body that cannot be read.
type failing struct {
	err    error
	closed bool
}

func (b *failing) Read([]byte) (int, error) { return 0, b.err }
func (b *failing) Close() error             { b.closed = true; return nil }

func TestTransportDoesNotRetryABodyThatFails(t *testing.T) {
	t.Parallel()
	w := answers(201)
	r := order(t)
	sent := &failing{err: io.ErrUnexpectedEOF}
	r.Body = sent
	_, err := trip(quick(w), r)
	require.EqualError(t, err, "the wire broke")
	require.Len(t, w.attempts, 1)
	require.True(t, sent.closed)

	// The second attempt's likewise.
	w = answers(503, 201)
	r = order(t)
	r.GetBody = func() (io.ReadCloser, error) { return sent, nil }
	_, err = trip(quick(w), r)
	require.EqualError(t, err, "the wire broke")
	require.Len(t, w.attempts, 2)

	// And that of a retry of Base's own.
	for _, failed := range []io.ReadCloser{sent, nil} {
		calls := 0
		r = order(t)
		getBody := r.GetBody
		r.GetBody = func() (io.ReadCloser, error) {
			if r.GetBody = getBody; failed == nil {
				return nil, io.ErrUnexpectedEOF
			}
			return failed, nil
		}
		_, err = trip(quick(roundTripper(func(r *http.Request) (*http.Response, error) {
			calls++
			_ = r.Body.Close()
			again, err := r.GetBody()
			if err == nil {
				_, err = again.Read(make([]byte, 1))
			}
			return nil, err
		})), r)
		require.Equal(t, io.ErrUnexpectedEOF, err)
		require.Equal(t, 1, calls)
	}
}

// TestTransportRetriesWhenBaseHasClosedTheBody: reading it fails then, because
// something else has failed before.
func TestTransportRetriesWhenBaseHasClosedTheBody(t *testing.T) {
	t.Parallel()
	calls := 0
	status, err := trip(quick(roundTripper(func(r *http.Request) (*http.Response, error) {
		if calls++; calls == 2 {
			return &http.Response{StatusCode: 201, Body: http.NoBody}, nil
		}
		_ = r.Body.Close()
		_, err := r.Body.Read(make([]byte, 1))
		return nil, err
	})), func() *http.Request {
		r := order(t)
		r.Body = &failing{err: io.ErrClosedPipe}
		return r
	}())
	require.NoError(t, err)
	require.Equal(t, 201, status)
}

func TestTransportSendsABodyOnceThatItCannotGetAgain(t *testing.T) {
	t.Parallel()
	w := answers(503, 201)
	r := order(t)
	sent := &body{Reader: strings.NewReader("a file")}
	r.Body, r.GetBody = sent, nil
	status, err := trip(quick(w), r)
	require.NoError(t, err)
	require.Equal(t, 503, status)
	require.Len(t, w.attempts, 1)
	require.Regexp(t, uuid, w.attempts[0].key)
	require.Equal(t, "a file", w.attempts[0].body)
	require.Same(t, sent, w.attempts[0].request.Body, "net/http sends a file faster that it knows")

	for _, none := range []io.ReadCloser{nil, http.NoBody} {
		w = answers(503, 201)
		r.Body, r.ContentLength = none, 0
		if none != nil { // as http.NewRequest does
			r.GetBody = func() (io.ReadCloser, error) { return none, nil }
		}
		status, err = trip(quick(w), r)
		require.NoError(t, err)
		require.Equal(t, 201, status)
		require.Equal(t, none, w.attempts[0].request.Body)
		require.Equal(t, none, w.attempts[1].request.Body)
	}
}

func TestTransportEndsWithTheErrorOfGetBody(t *testing.T) {
	t.Parallel()
	gone := errors.New("the file is gone")
	w := answers(503, 201)
	r := order(t)
	r.GetBody = func() (io.ReadCloser, error) { return nil, gone }
	_, err := trip(quick(w), r)
	require.Equal(t, gone, err)
	require.Len(t, w.attempts, 1)
	require.True(t, w.responses[0].closed.Load())
}
