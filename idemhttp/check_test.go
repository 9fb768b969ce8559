package idemhttp_test

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
	"github.com/idemtx/idemtx/idemtx"
)

func TestNothingOutside(t *testing.T) {
	t.Parallel()
	require.Nil(t, idemhttp.Tx(t.Context()))
	require.Zero(t, idemhttp.Request(t.Context()))
}

// TestCheckLeavesTheBody to be read by whoever does the work.
func TestCheckLeavesTheBody(t *testing.T) {
	t.Parallel()
	store, dials := unreachable(t)
	p := idemhttp.New(store, idemhttp.Config{Scope: someone, Policy: idemhttp.Stripe})
	r := request(http.MethodPost, `"a"`, "body")
	got, err := p.Check(r)
	require.NoError(t, err)
	require.Equal(t, "a", got.Key)
	require.Equal(t, "POST /orders ", got.Operation)
	require.Equal(t, idemtx.Raw("body"), got.Payload)
	require.Equal(t, idemtx.Refuse, got.OnDuplicate)
	owner, _ := someone(nil)
	require.Equal(t, owner.Key(), got.Scope.Key())
	body, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	require.Equal(t, "body", string(body))

	_, err = p.Check(request(http.MethodPost, "", "body"))
	var problem *idemhttp.Problem
	require.ErrorAs(t, err, &problem)
	require.Equal(t, "key_missing", problem.Name)
	require.Zero(t, dials.Load())
}

// TestAnswer tells of a reply what the client cannot know, and writes to nobody's
// headers.
func TestAnswer(t *testing.T) {
	t.Parallel()
	store, _ := unreachable(t)
	p := idemhttp.New(store, idemhttp.Config{Scope: someone})
	reply := idemtx.Reply[idemhttp.Response]{
		Value:     idemhttp.Response{Status: 201, Header: http.Header{"Idempotency-Replayed": {"so"}}},
		ExpiresAt: time.Date(2026, 11, 24, 23, 59, 59, 999_999_999, time.FixedZone("", 3600)),
	}
	want := http.Header{"Idempotency-Expires": {"Tue, 24 Nov 2026 22:59:59 GMT"}}
	require.Equal(t, idemhttp.Response{Status: 201, Header: want}, p.Answer(reply))
	reply.Replayed = true
	want.Set("Idempotency-Replayed", "true")
	require.Equal(t, idemhttp.Response{Status: 201, Header: want}, p.Answer(reply))
	require.Equal(t, http.Header{"Idempotency-Replayed": {"so"}}, reply.Value.Header)
	require.NotPanics(t, func() { p.Answer(idemtx.Reply[idemhttp.Response]{}) })
}

// TestDoWithoutProtection hands the request on as it is.
func TestDoWithoutProtection(t *testing.T) {
	t.Parallel()
	store, _ := unreachable(t)
	p := idemhttp.New(store, idemhttp.Config{Scope: someone})
	r := request(http.MethodGet, "a", "")
	want := idemhttp.Response{Status: http.StatusTeapot}
	got := p.Do(r, func(given *http.Request) idemhttp.Response {
		require.Same(t, r, given)
		return want
	})
	require.Equal(t, want, got)
}
