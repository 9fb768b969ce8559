package idemhttp_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

func TestTransportRetriesByStatus(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		status     int
		retryAfter string
		again      bool
	}{
		{429, "", true},
		{502, "", true},
		{503, "", true},
		{503, "soon", true},
		{503, "-1", true},
		{504, "", true},
		{409, "0", true},
		{409, "1", true},
		{409, "Thu, 01 Jan 1970 00:00:00 GMT", true},
		{409, "", false},
		{409, "soon", false},
		{409, "-1", false},
		{409, "+1", false},
		{409, "1.5", false},
		{200, "1", false},
		{201, "", false},
		{302, "1", false},
		{400, "1", false},
		{401, "", false},
		{404, "1", false},
		{408, "1", false},
		{413, "1", false},
		{422, "1", false},
		{425, "1", false},
		{500, "1", false},
		{501, "1", false},
	} {
		t.Run(fmt.Sprintf("%d %q", test.status, test.retryAfter), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := answers(test.status, 299)
				if test.retryAfter != "" {
					w.outcomes[0].header = map[string]string{"Retry-After": test.retryAfter}
				}
				status, err := trip(quick(w), order(t))
				require.NoError(t, err)
				if test.again {
					require.Equal(t, 299, status)
					require.Len(t, w.attempts, 2)
				} else {
					require.Equal(t, test.status, status)
					require.Len(t, w.attempts, 1)
				}
			})
		})
	}
}

func TestTransportRetriesByErrorType(t *testing.T) {
	t.Parallel()
	for _, err := range []error{
		io.EOF,
		io.ErrUnexpectedEOF,
		&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED},
		&net.DNSError{IsNotFound: true},
		context.DeadlineExceeded, // a limit for each attempt, in Base
		context.Canceled,
		errors.New("x509: certificate signed by unknown authority"), // text is not a type
		tls.RecordHeaderError{},
	} {
		w := &wire{outcomes: []outcome{{err: err}, {status: 201}}}
		status, got := trip(quick(w), order(t))
		require.NoError(t, got)
		require.Equal(t, 201, status)
		require.Len(t, w.attempts, 2)
		require.Equal(t, w.attempts[0].key, w.attempts[1].key)
	}
	for _, err := range []error{
		&tls.CertificateVerificationError{Err: errors.New("any")},
		tls.RecordHeaderError{Conn: &net.TCPConn{}},
		x509.CertificateInvalidError{Reason: x509.Expired, Cert: &x509.Certificate{}},
		x509.HostnameError{Certificate: &x509.Certificate{}},
		x509.UnknownAuthorityError{},
		x509.SystemRootsError{},
	} {
		for _, err := range []error{err, fmt.Errorf("wrapped: %w", err)} {
			w := &wire{outcomes: []outcome{{err: err}, {status: 201}}}
			_, got := trip(quick(w), order(t))
			require.Equal(t, err, got)
			require.Len(t, w.attempts, 1)
		}
	}
}

func TestTransportRetriesOnlyHTTP(t *testing.T) {
	t.Parallel()
	r := order(t)
	r.URL.Scheme = "ftp"
	w := answers(503)
	status, err := trip(quick(w), r)
	require.NoError(t, err)
	require.Equal(t, 503, status)
	require.Len(t, w.attempts, 1)

	r = order(t)
	r.URL = nil
	_, err = trip(quick(w), r)
	require.NoError(t, err)
	require.Len(t, w.attempts, 2)
}

// TestTransportGivesBaseItsOwnCopy each time: one that signs must not add a
// second signature.
func TestTransportGivesBaseItsOwnCopy(t *testing.T) {
	t.Parallel()
	w := answers(503, 201)
	r := order(t)
	r.Header.Set("Idempotency-Key", "mine")
	_, err := trip(quick(roundTripper(func(r *http.Request) (*http.Response, error) {
		r.Header.Add("Authorization", "signed")
		return w.RoundTrip(r)
	})), r)
	require.NoError(t, err)
	require.Equal(t, []string{"signed"}, w.attempts[1].request.Header.Values("Authorization"))
	require.Empty(t, r.Header.Get("Authorization"))
}

// TestTransportReturnsTheLastAsItIs: nobody has read or closed it.
func TestTransportReturnsTheLastAsItIs(t *testing.T) {
	t.Parallel()
	w := answers(503, 503, 504)
	transport := quick(w)
	transport.MaxAttempts = 3
	response, err := transport.RoundTrip(order(t))
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, 504, response.StatusCode)
	require.Len(t, w.attempts, 3)
	got, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, "the response", string(got))
	require.False(t, w.responses[2].closed.Load())

	last := errors.New("last")
	w = &wire{outcomes: []outcome{{err: io.EOF}, {status: 503}, {err: io.EOF}, {err: io.EOF}, {err: last}}}
	_, err = trip(quick(w), order(t))
	require.Equal(t, last, err)
	require.Len(t, w.attempts, 5, "five is the default")

	w = answers(503)
	transport = quick(w)
	transport.MaxAttempts = 1
	status, err := trip(transport, order(t))
	require.NoError(t, err)
	require.Equal(t, 503, status)
	require.Len(t, w.attempts, 1)
}

// TestTransportFreesWhatItDoesNotReturn: all of a short response is read, so that
// its connection is free, and not all of an endless one.
func TestTransportFreesWhatItDoesNotReturn(t *testing.T) {
	t.Parallel()
	w := answers(503, 201)
	_, err := trip(quick(w), order(t))
	require.NoError(t, err)
	require.True(t, w.responses[0].closed.Load())
	require.Equal(t, len("the response"), w.responses[0].read)

	for _, length := range []int64{-1, 1 << 40} {
		endless := &body{Reader: zeros{}}
		calls := 0
		_, err = trip(quick(roundTripper(func(*http.Request) (*http.Response, error) {
			if calls++; calls == 1 {
				return &http.Response{StatusCode: 503, Body: endless, ContentLength: length}, nil
			}
			return &http.Response{StatusCode: 201, Body: http.NoBody}, nil
		})), order(t))
		require.NoError(t, err)
		require.True(t, endless.closed.Load())
		if length < 0 {
			require.LessOrEqual(t, endless.read, 64<<10)
		} else {
			require.Zero(t, endless.read, "it is known to be too long")
		}
	}

	calls := 0
	_, err = trip(quick(roundTripper(func(*http.Request) (*http.Response, error) {
		if calls++; calls == 1 {
			return &http.Response{StatusCode: 503}, nil // http.Client takes one without a body
		}
		return &http.Response{StatusCode: 201, Body: http.NoBody}, nil
	})), order(t))
	require.NoError(t, err)
}
