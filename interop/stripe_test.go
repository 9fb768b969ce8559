package interop

import (
	"encoding/json"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v82"

	"github.com/idemtx/idemtx/idemhttp"
)

// payments is a service with the interface of Stripe's, and Stripe's own client.
type payments struct {
	*fixture
	client   *stripe.Client
	requests atomic.Int64
	runs     atomic.Int64 // of the handler

	began   chan struct{} // a run has begun
	proceed chan struct{} // closed by release
	release func()        // lets runs go on
	cut     atomic.Bool   // the next response is lost with its connection
}

func newPayments(t *testing.T, policy idemhttp.Policy) *payments {
	t.Helper()
	p := &payments{fixture: newFixture(t), began: make(chan struct{}, 100), proceed: make(chan struct{})}
	p.release = sync.OnceFunc(func() { close(p.proceed) })
	protected := p.protection(policy).Handler(http.HandlerFunc(p.create))
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/payment_intents", func(w http.ResponseWriter, r *http.Request) {
		p.requests.Add(1)
		protected.ServeHTTP(&wire{w, p}, r)
	})
	backend := stripe.GetBackendWithConfig(stripe.APIBackend, &stripe.BackendConfig{
		URL:               stripe.String(listen(t, mux)),
		HTTPClient:        &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, // it would retry by itself
		MaxNetworkRetries: stripe.Int64(1 << 20),
		LeveledLogger:     &stripe.LeveledLogger{Level: stripe.LevelNull},
	})
	backend.(*stripe.BackendImplementation).SetNetworkRetriesSleep(false)
	t.Cleanup(p.release) // before the server waits for what a failed test has left
	p.client = stripe.NewClient("sk_test_key", stripe.WithBackends(&stripe.Backends{API: backend}))
	return p
}

// create declines the card pm_card_chargeDeclined, after it has written.
func (p *payments) create(w http.ResponseWriter, r *http.Request) {
	p.runs.Add(1)
	p.began <- struct{}{}
	<-p.proceed
	if err := p.effect(r.Context(), r.FormValue("amount")); err != nil {
		http.Error(w, "failed", http.StatusInternalServerError)
		return
	}
	status, reply := http.StatusOK, any(map[string]any{
		"id": "pi_1", "object": "payment_intent", "currency": r.FormValue("currency"), "status": "succeeded",
	})
	if r.FormValue("payment_method") == "pm_card_chargeDeclined" {
		status, reply = http.StatusPaymentRequired, map[string]any{"error": map[string]any{
			"type": "card_error", "code": "card_declined", "decline_code": "generic_decline",
			"message": "Your card was declined.",
		}}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(reply)
}

// pay sends a payment; without a key, the SDK makes one.
func (p *payments) pay(key string, amount int64, method string) (*stripe.PaymentIntent, error) {
	params := &stripe.PaymentIntentCreateParams{
		Amount: stripe.Int64(amount), Currency: stripe.String("eur"), PaymentMethod: stripe.String(method),
	}
	if key != "" {
		params.SetIdempotencyKey(key)
	}
	return p.client.V1PaymentIntents.Create(p.t.Context(), params)
}

// wire loses the response that it is told to.
type wire struct {
	http.ResponseWriter
	payments *payments
}

func (w *wire) WriteHeader(status int) {
	if w.payments.cut.CompareAndSwap(true, false) {
		panic(http.ErrAbortHandler)
	}
	w.ResponseWriter.WriteHeader(status)
}

func requireReplay(t *testing.T, response *stripe.APIResponse) {
	t.Helper()
	require.NotNil(t, response)
	require.Equal(t, "true", response.Header.Get("Idempotent-Replayed"))
}

// TestStripeLostResponse: the SDK sends the request again, with the key that it
// has made up.
func TestStripeLostResponse(t *testing.T) {
	t.Parallel()
	p := newPayments(t, idemhttp.Stripe)
	p.release()
	p.cut.Store(true)
	paid, err := p.pay("", 1000, "pm_card_visa")
	require.NoError(t, err)
	require.Equal(t, "pi_1", paid.ID)
	require.Equal(t, stripe.PaymentIntentStatusSucceeded, paid.Status)
	requireReplay(t, paid.LastResponse)
	require.EqualValues(t, 2, p.requests.Load())
	require.EqualValues(t, 1, p.runs.Load())
	require.Equal(t, 1, p.effects())
}

// TestStripeMismatch is the SDK's error of that name.
func TestStripeMismatch(t *testing.T) {
	t.Parallel()
	p := newPayments(t, idemhttp.Stripe)
	p.release()
	_, err := p.pay("mismatch", 1000, "pm_card_visa")
	require.NoError(t, err)
	_, err = p.pay("mismatch", 2000, "pm_card_visa")
	var failure *stripe.Error
	require.ErrorAs(t, err, &failure)
	require.Equal(t, http.StatusBadRequest, failure.HTTPStatusCode)
	require.Equal(t, stripe.ErrorTypeIdempotency, failure.Type)
	require.NotEmpty(t, failure.Msg)
	var mismatch *stripe.IdempotencyError
	require.ErrorAs(t, err, &mismatch)
	require.EqualValues(t, 2, p.requests.Load())
	require.Equal(t, 1, p.effects())
}

// TestStripeDeclineIsKept: the card is not tried again, and nothing is written.
func TestStripeDeclineIsKept(t *testing.T) {
	t.Parallel()
	p := newPayments(t, idemhttp.Stripe)
	p.release()
	var errs [2]string
	for i := range errs {
		_, err := p.pay("decline", 1000, "pm_card_chargeDeclined")
		var failure *stripe.Error
		require.ErrorAs(t, err, &failure)
		require.Equal(t, http.StatusPaymentRequired, failure.HTTPStatusCode)
		require.Equal(t, stripe.ErrorTypeCard, failure.Type)
		require.Equal(t, stripe.ErrorCodeCardDeclined, failure.Code)
		require.Equal(t, stripe.DeclineCode("generic_decline"), failure.DeclineCode)
		if i == 1 {
			requireReplay(t, failure.LastResponse)
		}
		errs[i] = err.Error()
	}
	require.Equal(t, errs[0], errs[1])
	require.EqualValues(t, 1, p.runs.Load())
	require.Zero(t, p.effects())
}

// TestStripeKeyInUse: this SDK leaves the 409 to its caller, who asks again and
// gets the payment.
func TestStripeKeyInUse(t *testing.T) {
	t.Parallel()
	p := newPayments(t, idemhttp.Stripe)
	first := make(chan error, 1)
	go func() {
		_, err := p.pay("in-use", 1000, "pm_card_visa")
		first <- err
	}()
	<-p.began
	_, err := p.pay("in-use", 1000, "pm_card_visa")
	var failure *stripe.Error
	require.ErrorAs(t, err, &failure)
	require.Equal(t, http.StatusConflict, failure.HTTPStatusCode)
	require.Equal(t, stripe.ErrorTypeIdempotency, failure.Type)
	require.Equal(t, stripe.ErrorCodeIdempotencyKeyInUse, failure.Code)
	require.NotEmpty(t, failure.LastResponse.Header.Get("Retry-After"))
	require.EqualValues(t, 2, p.requests.Load())

	p.release()
	require.NoError(t, <-first)
	paid, err := p.pay("in-use", 1000, "pm_card_visa")
	require.NoError(t, err)
	require.Equal(t, "pi_1", paid.ID)
	requireReplay(t, paid.LastResponse)
	require.Equal(t, 1, p.effects())
}

// TestStripeLockTimeout is what this SDK waits for by itself: a key in flight as
// 429 lock_timeout, by a Problem of one's own.
func TestStripeLockTimeout(t *testing.T) {
	t.Parallel()
	policy := idemhttp.Stripe
	policy.Problem = func(problem idemhttp.Problem) idemhttp.Response {
		if problem.Name != "in_flight" {
			return idemhttp.Stripe.Problem(problem)
		}
		return idemhttp.Response{
			Status: http.StatusTooManyRequests,
			Header: http.Header{"Content-Type": {"application/json"}},
			Body:   []byte(`{"error": {"type": "invalid_request_error", "code": "lock_timeout", "message": "Try again."}}`),
		}
	}
	p := newPayments(t, policy)
	first := make(chan error, 1)
	go func() {
		_, err := p.pay("lock", 1000, "pm_card_visa")
		first <- err
	}()
	<-p.began
	paid := make(chan *stripe.PaymentIntent, 1)
	go func() {
		intent, err := p.pay("lock", 1000, "pm_card_visa")
		assert.NoError(t, err)
		paid <- intent
	}()
	require.Eventually(t, func() bool { return p.requests.Load() > 3 }, time.Minute, time.Millisecond)
	p.release()
	require.NoError(t, <-first)
	requireReplay(t, (<-paid).LastResponse)
	require.EqualValues(t, 1, p.runs.Load())
	require.Equal(t, 1, p.effects())
}
