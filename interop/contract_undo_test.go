package interop

import (
	"errors"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
)

func failsAsAlways(t *testing.T, r router) {
	f := newFixture(t)
	var runs atomic.Int64
	url := r.serve(t, f.protection(idemhttp.IETF), func(x exchange) error {
		runs.Add(1)
		if err := f.effect(x.Context(), "fails"); err != nil {
			return err
		}
		return x.Fail(http.StatusConflict, "the seat is taken")
	})
	for range 2 {
		got := send(t, post(t, url, "fails", "{}"))
		require.Equal(t, http.StatusConflict, got.status, got.body)
		require.Contains(t, got.body, "the seat is taken")
		require.False(t, got.replayed())
	}
	require.EqualValues(t, 2, runs.Load())
	require.Zero(t, f.effects())
	require.Zero(t, f.replies())
}

func keepsErrors(t *testing.T, r router) {
	f := newFixture(t)
	keep := idemhttp.Policy{Decide: func(int, http.Header) idemhttp.Decision { return idemhttp.Keep }}
	var runs atomic.Int64
	url := r.serve(t, f.protection(keep), func(x exchange) error {
		runs.Add(1)
		if err := f.effect(x.Context(), "keeps"); err != nil {
			return err
		}
		return x.Fail(http.StatusPaymentRequired, "the card was declined")
	})
	var bodies [2]string
	for i := range bodies {
		got := send(t, post(t, url, "keeps", "{}"))
		require.Equal(t, http.StatusPaymentRequired, got.status, got.body)
		require.Equal(t, i == 1, got.replayed())
		bodies[i] = got.body
	}
	require.Contains(t, bodies[0], "the card was declined")
	require.Equal(t, bodies[0], bodies[1])
	require.EqualValues(t, 1, runs.Load())
	require.Zero(t, f.effects())
}

func failsWithoutStatus(t *testing.T, r router) {
	f := newFixture(t)
	url := r.serve(t, f.protection(idemhttp.IETF), func(x exchange) error {
		if err := f.effect(x.Context(), "plain"); err != nil {
			return err
		}
		return errors.New("the printer is on fire")
	})
	got := send(t, post(t, url, "plain", "{}"))
	require.Equal(t, http.StatusInternalServerError, got.status, got.body)
	require.Zero(t, f.effects())
	require.Zero(t, f.replies())
}

// runsAgain has the first run set all it can, and abort.
func runsAgain(t *testing.T, r router) {
	f := newFixture(t)
	f.failing()
	var runs atomic.Int64
	url := r.serve(t, f.protection(idemhttp.IETF), func(x exchange) error {
		runs.Add(1)
		assert.Nil(t, x.Get("memo"))
		assert.False(t, x.Used())
		assert.Equal(t, "17", x.Param())
		body, err := x.Body()
		if err != nil {
			return err
		}
		assert.Equal(t, `{"a": 1}`, body)
		assert.Equal(t, "annabel", x.Get("user"))
		x.Set("memo", "of a run that may be undone")
		if runs.Load() == 1 {
			x.Set("user", "bob")
			x.SetHeader("X-Undone", "1")
		}
		if err := f.effect(x.Context(), "again"); err != nil {
			return x.Fail(http.StatusServiceUnavailable, "undone")
		}
		return x.Reply(http.StatusCreated, "done")
	})
	for i := range 2 {
		got := send(t, post(t, url, "again", `{"a": 1}`))
		require.Equal(t, http.StatusCreated, got.status, got.body)
		require.Equal(t, "done", got.body)
		require.NotContains(t, got.header, "X-Undone")
		require.Equal(t, i == 1, got.replayed())
	}
	require.EqualValues(t, 2, runs.Load())
	require.Equal(t, 1, f.effects())
}

func recovers(t *testing.T, r router) {
	f := newFixture(t)
	var runs atomic.Int64
	url := r.serve(t, f.protection(idemhttp.IETF), func(x exchange) error {
		if err := f.effect(x.Context(), "panics"); err != nil {
			return err
		}
		if runs.Add(1) == 1 {
			x.SetHeader("X-Undone", "1")
			_ = x.Reply(http.StatusCreated, "undone")
			panic("the printer is on fire")
		}
		return x.Reply(http.StatusCreated, "done")
	})
	got := send(t, post(t, url, "panics", "{}"))
	require.Equal(t, http.StatusInternalServerError, got.status, got.body)
	require.NotContains(t, got.header, "X-Undone")
	require.NotContains(t, got.body, "undone")
	require.Zero(t, f.effects())
	require.Zero(t, f.replies())

	got = send(t, post(t, url, "panics", "{}"))
	require.Equal(t, http.StatusCreated, got.status, got.body)
	require.Equal(t, "done", got.body)
	require.Equal(t, 1, f.effects())
}

// holdsBack has the transaction undone after a part of the reply was flushed. A
// framework whose flush panics has it undone for that.
func holdsBack(t *testing.T, r router) {
	f := newFixture(t)
	url := r.serve(t, f.protection(idemhttp.IETF), func(x exchange) error {
		if err := f.effect(x.Context(), "flush"); err != nil {
			return err
		}
		x.Flush("a part")
		panic("the printer is on fire")
	})
	got := send(t, post(t, url, "flush", "{}"))
	require.Equal(t, http.StatusInternalServerError, got.status, got.body)
	require.NotContains(t, got.body, "a part")
	require.Zero(t, f.effects())
	require.Zero(t, f.replies())
}
