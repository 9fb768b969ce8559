package idemhttp

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// maxDrained is how much of a response that nobody will see is read, so that its
// connection can be used again. A new connection is cheaper than a longer one.
const maxDrained = 16 << 10

// maxDraining is how long that may take. A server can let a body trickle.
const maxDraining = 100 * time.Millisecond

// retry sends r with header until there is an answer, or nothing more to be done.
func (t *Transport) retry(r *http.Request, header http.Header) (*http.Response, error) {
	body := r.Body
	waits := t.waits()
	for left := t.attempts(r) - 1; ; left-- {
		a := newAttempt(r, header, body)
		response, err := t.base().RoundTrip(a.request)
		if err == nil && response.Request == nil {
			response.Request = a.request
		}
		if left <= 0 || a.broken.Load() || !mayPass(response, err) {
			return response, err
		}
		wait, fits := t.wait(r.Context(), waits.NextBackOff(), response)
		if !fits {
			return response, err
		}
		discard(response)
		if err := pause(r.Context(), wait); err != nil {
			return nil, err
		}
		if body, err = again(r); err != nil {
			return nil, err
		}
	}
}

// attempts is how often r may be sent.
func (t *Transport) attempts(r *http.Request) int {
	if sendsBody(r) && r.GetBody == nil {
		return 1
	}
	if r.URL == nil || r.URL.Scheme != "http" && r.URL.Scheme != "https" {
		return 1
	}
	return cmp.Or(t.MaxAttempts, 5)
}

func sendsBody(r *http.Request) bool { return r.Body != nil && r.Body != http.NoBody }

func again(r *http.Request) (io.ReadCloser, error) {
	if !sendsBody(r) {
		return r.Body, nil
	}
	return r.GetBody()
}

// attempt is a request on its way once.
type attempt struct {
	request *http.Request
	broken  atomic.Bool // its body failed, and not the connection
}

// newAttempt copies r, because Base may still be reading the attempt before. It
// does not copy r.Trailer, whose values r's body may set when it ends.
func newAttempt(r *http.Request, header http.Header, body io.ReadCloser) *attempt {
	a := &attempt{request: r.WithContext(r.Context())}
	a.request.Header = header.Clone()
	if !sendsBody(r) || r.GetBody == nil {
		return a
	}
	a.request.Body = &watchedBody{ReadCloser: body, broken: &a.broken}
	a.request.GetBody = func() (io.ReadCloser, error) { // for retries of Base's own
		body, err := r.GetBody()
		if err != nil {
			a.broken.Store(true)
			return nil, err
		}
		return &watchedBody{ReadCloser: body, broken: &a.broken}, nil
	}
	return a
}

// watchedBody sees an error of the body where it arises: what Base makes of it
// cannot be told from an error of the connection.
type watchedBody struct {
	io.ReadCloser
	broken *atomic.Bool
	closed atomic.Bool
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	// A body that Base has closed fails because something else has failed before.
	if err != nil && err != io.EOF && !b.closed.Load() {
		b.broken.Store(true)
	}
	return n, err
}

func (b *watchedBody) Close() error {
	b.closed.Store(true)
	return b.ReadCloser.Close()
}

// mayPass tells whether the outcome of an attempt may be another the next time.
func mayPass(response *http.Response, err error) bool {
	if err != nil {
		return !lasting(err)
	}
	switch response.StatusCode {
	case http.StatusConflict:
		_, asked := askedWait(response.Header)
		return asked
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// lasting knows the errors that no retry mends: a certificate that is not
// trusted, and a server that does not speak TLS.
func lasting(err error) bool {
	noTLS, ok := errors.AsType[tls.RecordHeaderError](err)
	return ok && noTLS.Conn != nil || // else a record in the middle, which may pass
		is[*tls.CertificateVerificationError](err) ||
		is[x509.CertificateInvalidError](err) ||
		is[x509.HostnameError](err) ||
		is[x509.UnknownAuthorityError](err) ||
		is[x509.SystemRootsError](err)
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// askedWait is how long a response asks to wait, by RFC 9110, section 10.2.3. A
// date is compared to the response's own, because clocks differ.
func askedWait(h http.Header) (wait time.Duration, asked bool) {
	value := h.Get("Retry-After")
	seconds, err := strconv.ParseUint(value, 10, 64)
	if err == nil || errors.Is(err, strconv.ErrRange) { // then it is the largest
		return time.Duration(min(seconds, math.MaxInt64/uint64(time.Second))) * time.Second, true
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	sent, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		sent = time.Now()
	}
	return date.Sub(sent), true
}

// waits are random, each between half and three halves of an interval that
// doubles. They begin at MinWait and end at MaxWait.
func (t *Transport) waits() *backoff.ExponentialBackOff {
	return &backoff.ExponentialBackOff{
		InitialInterval:     2 * t.minWait(),
		RandomizationFactor: 0.5,
		Multiplier:          2,
		MaxInterval:         t.maxWait() / 3 * 2,
	}
}

func (t *Transport) minWait() time.Duration { return cmp.Or(t.MinWait, 200*time.Millisecond) }

func (t *Transport) maxWait() time.Duration { return cmp.Or(t.MaxWait, 30*time.Second) }

// wait is how long to wait for the next attempt, whose turn it is after next, and
// whether that is in time.
func (t *Transport) wait(ctx context.Context, next time.Duration, response *http.Response) (wait time.Duration, fits bool) {
	wait = min(max(next, t.minWait()), t.maxWait())
	if response != nil {
		asked, _ := askedWait(response.Header)
		wait = max(wait, asked)
	}
	deadline, ends := ctx.Deadline()
	late := ends && time.Until(deadline) <= wait
	return wait, ctx.Err() == nil && !late && wait <= t.maxWait()
}

// pause waits, or returns why ctx has ended.
func pause(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// discard is the end of a response that is not returned, or of none.
func discard(response *http.Response) {
	if response == nil || response.Body == nil {
		return
	}
	if response.ContentLength <= maxDrained {
		late := time.AfterFunc(maxDraining, func() { _ = response.Body.Close() }) // which ends the read
		defer late.Stop()
		_, _ = io.CopyN(io.Discard, response.Body, maxDrained+1) // and the EOF, which frees the connection
	}
	_ = response.Body.Close()
}
