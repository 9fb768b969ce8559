package idemhttp

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

func TestIETFCommitsWhatSucceeds(t *testing.T) {
	t.Parallel()
	for _, p := range []Policy{IETF, {}} {
		p = p.withDefaults()
		for status := 200; status <= 999; status++ {
			want := Forget
			if status <= 399 {
				want = Commit
			}
			require.Equal(t, want, p.decide(status, http.Header{}), status)
		}
	}
}

func TestStripeKeepsWhatIsFinal(t *testing.T) {
	t.Parallel()
	p := Stripe.withDefaults()
	forgotten := map[int]bool{400: true, 401: true, 408: true, 425: true, 429: true, 502: true, 503: true, 504: true}
	for status := 200; status <= 599; status++ {
		want := Keep
		switch {
		case status <= 399:
			want = Commit
		case forgotten[status]:
			want = Forget
		}
		require.Equal(t, want, p.decide(status, http.Header{}), status)
	}
}

// TestTheTransientIsNeverKept, not even by a policy that keeps everything.
func TestTheTransientIsNeverKept(t *testing.T) {
	t.Parallel()
	for _, decision := range []Decision{Commit, Keep} {
		p := Policy{Decide: func(int, http.Header) Decision { return decision }}.withDefaults()
		for _, status := range []int{408, 425, 429, 502, 503, 504} {
			require.Equal(t, Forget, p.decide(status, nil), status)
		}
		require.Equal(t, decision, p.decide(500, nil))
		require.Equal(t, decision, p.decide(302, http.Header{"Retry-After": {"1"}}))
		require.Equal(t, Forget, p.decide(409, http.Header{"Retry-After": {"1"}}))
	}
}

// TestAnErrorOfAMomentIsNotKept: the handler's may be no more than PostgreSQL's
// word of the moment.
func TestAnErrorOfAMomentIsNotKept(t *testing.T) {
	t.Parallel()
	h := &handling{protection: &Protection{config: Config{Policy: Stripe}.withDefaults()}}
	for _, test := range []struct {
		status  int
		failure error
		want    Decision
	}{
		{500, nil, Keep},
		{500, &pgconn.PgError{Code: "23505"}, Keep},
		{500, &pgconn.PgError{Code: "57014"}, Forget},
		{500, &pgconn.PgError{Code: "53300"}, Forget},
		{500, &pgconn.PgError{Code: "55P03"}, Forget},
		{500, io.ErrUnexpectedEOF, Forget},
		{500, &pgconn.PgError{Code: "26000"}, Forget},
		{500, &pgconn.PgError{Code: "0A000", Routine: "RevalidateCachedQuery"}, Forget},
		{500, &pgconn.PgError{Code: "0A000"}, Keep},
		{409, &pgconn.PgError{Code: "55P03"}, Forget},
		{200, io.ErrUnexpectedEOF, Commit},
	} {
		h.last.Status = test.status
		var failures []error
		if test.failure != nil {
			failures = []error{&pgconn.PgError{Code: "23505"}, test.failure}
		}
		require.Equal(t, test.want, h.decide(failures), test)
	}
}

// TestAPolicyCannotChangeTheReply by way of the headers it is shown.
func TestAPolicyCannotChangeTheReply(t *testing.T) {
	t.Parallel()
	policy := Policy{Decide: func(_ int, header http.Header) Decision {
		header.Set("X-Own", "changed")
		return Commit
	}}
	h := &handling{protection: &Protection{config: Config{Policy: policy}.withDefaults()}}
	h.last = Response{Status: 200, Header: http.Header{"X-Own": {"1"}}}
	require.Equal(t, Commit, h.decide(nil))
	require.Equal(t, "1", h.last.Header.Get("X-Own"))
}

// TestDeniedHeadersReachTheFirstClient alone.
func TestDeniedHeadersReachTheFirstClient(t *testing.T) {
	t.Parallel()
	h := &handling{protection: &Protection{config: Config{DenyHeaders: []string{"x-own"}}.withDefaults()}}
	h.last = Response{Status: 200, Header: http.Header{"X-Own": {"1"}}}
	require.Empty(t, h.kept().Header)
	require.Equal(t, "1", h.last.Header.Get("X-Own"))
}

func TestADecisionThatWasNotMadeKeepsNothing(t *testing.T) {
	t.Parallel()
	var none Decision
	require.Equal(t, Forget, none)
}

func TestProblemsInStripesWords(t *testing.T) {
	t.Parallel()
	c := Config{Policy: Stripe, ProblemBase: "https://api.example.com/problems/"}
	for _, test := range []struct {
		err    error
		status int
		body   string
	}{
		{idemtx.ErrMismatch, 400, `{"type":"idempotency_error","code":"mismatch",` +
			`"message":"This Idempotency-Key was first used for a different request. Use a new key.",` +
			`"doc_url":"https://api.example.com/problems/mismatch"}`},
		{idemtx.ErrInFlight, 409, `{"type":"idempotency_error","code":"idempotency_key_in_use",` +
			`"message":"A request with this Idempotency-Key has not ended. Retry later with the same key.",` +
			`"doc_url":"https://api.example.com/problems/in_flight"}`},
		{keyMissing, 400, `{"type":"invalid_request_error","code":"key_missing",` +
			`"message":"This operation requires an Idempotency-Key header: a random key, the same for every retry.",` +
			`"doc_url":"https://api.example.com/problems/key_missing"}`},
		{errRecord, 500, `{"type":"api_error","code":"internal",` +
			`"message":"The request could not be completed. It may be retried with the same key.",` +
			`"doc_url":"https://api.example.com/problems/internal"}`},
	} {
		got := refuse(c, test.err)
		require.Equal(t, test.status, got.Status)
		require.JSONEq(t, `{"error":`+test.body+`}`, string(got.Body))
		require.Equal(t, "application/json", got.Header.Get("Content-Type"))
	}
	require.Equal(t, "1", refuse(c, idemtx.ErrInFlight).Header.Get("Retry-After"))
	require.Empty(t, refuse(c, idemtx.ErrMismatch).Header.Get("Retry-After"))
}

// TestProblemsInOnesOwnWords: what a policy leaves out is added, and what it
// hands out is not written to.
func TestProblemsInOnesOwnWords(t *testing.T) {
	t.Parallel()
	shared := http.Header{"X-Own": {"1"}}
	var told Problem
	c := Config{ProblemBase: "/problems/", Policy: Policy{Problem: func(p Problem) Response {
		told = p
		return Response{Header: shared, Body: []byte("busy")}
	}}}
	got := refuse(c, &idemtx.InFlightError{RetryAfter: 2 * time.Second})
	require.Equal(t, Response{409, http.Header{"X-Own": {"1"}, "Retry-After": {"2"}}, []byte("busy")}, got)
	require.Len(t, shared, 1)
	require.Equal(t, Problem{
		"in_flight", "/problems/in_flight", 409, inFlight.Title, inFlight.Detail, 2 * time.Second,
	}, told)

	c.Policy.Problem = func(Problem) Response { return Response{Status: 423} }
	require.Equal(t, Response{423, http.Header{"Retry-After": {"1"}}, nil}, refuse(c, idemtx.ErrInFlight))
}
