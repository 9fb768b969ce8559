package main

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"
)

// TestMailer: only a refusal ends the attempts. What leaves open whether the mail is
// sent must not.
func TestMailer(t *testing.T) {
	t.Parallel()
	message := confirm(placedOrder{ID: 7, order: order{Customer: "ada", SKU: "lamp", Quantity: 2}, PlacedAt: time.Now()})
	for status, want := range map[int]string{
		http.StatusOK:                  "",
		http.StatusCreated:             "",
		http.StatusFound:               "mail: the provider answers with status 302",
		http.StatusBadRequest:          "mail: the provider refuses it with status 400",
		http.StatusUnauthorized:        "mail: the provider answers with status 401",
		http.StatusConflict:            "mail: the provider answers with status 409",
		http.StatusUnprocessableEntity: "mail: the provider refuses it with status 422",
		http.StatusTooManyRequests:     "mail: the provider answers with status 429",
		http.StatusServiceUnavailable:  "mail: the provider answers with status 503",
	} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			t.Parallel()
			var key, body string
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				text, _ := io.ReadAll(r.Body)
				key, body = r.Header.Get("Idempotency-Key"), string(text)
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(status)
			}))
			defer s.Close()
			err := newMailer(s.URL).send(t.Context(), "the key", message)
			if want == "" {
				require.NoError(t, err)
			} else {
				require.EqualError(t, err, want)
				require.Equal(t, status == 400 || status == 422, errors.Is(err, errMailRefused))
			}
			require.Equal(t, "the key", key)
			require.JSONEq(t, `{"to":"ada","subject":"Your order 7","text":"2 lamp"}`, body)
		})
	}
}

// TestMemoryOutlastsTheAttempts by so much that their jitter does not matter.
func TestMemoryOutlastsTheAttempts(t *testing.T) {
	t.Parallel()
	var policy river.DefaultClientRetryPolicy
	var all time.Duration
	for attempt := range river.MaxAttemptsDefault {
		job := &rivertype.JobRow{Attempt: attempt + 1, Errors: make([]rivertype.AttemptError, attempt)}
		all += rescueAfter + time.Until(policy.NextRetry(job))
	}
	require.Greater(t, memory, all)
	require.Greater(t, all, 14*24*time.Hour, "it is this policy that is meant")
}

// TestKindOfConfirmation: jobs of an older version are still to be worked.
func TestKindOfConfirmation(t *testing.T) {
	t.Parallel()
	require.Equal(t, "order_confirmation", confirmation{}.Kind())
}
