package idemhttp_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"

	"github.com/idemtx/idemtx/idemhttp"
	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/scope"
)

// customer is whose keys the requests of an example have.
func customer(r *http.Request) (scope.Scope, error) {
	user, _, ok := r.BasicAuth() // which something before it has checked
	if !ok {
		return scope.Scope{}, errors.New("nobody is signed in")
	}
	return scope.New("", user)
}

// The handler's row and its reply are committed together. A retry gets the same
// reply, and there is one order.
func ExampleMiddleware() {
	var store *idemtx.Store // from idemtx.New
	mount := func(mux *http.ServeMux) {
		protect := idemhttp.Middleware(store, idemhttp.Config{Scope: customer})
		mux.Handle("POST /orders", protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var id int64
			err := idemhttp.Tx(r.Context()).
				QueryRow(r.Context(), "INSERT INTO shop.orders DEFAULT VALUES RETURNING id").Scan(&id)
			if err != nil {
				http.Error(w, "try again", http.StatusInternalServerError)
				return
			}
			w.WriteHeader(http.StatusCreated)
			fmt.Fprintf(w, "order %d\n", id)
		})))
	}
	_ = mount
}

// A declined card is final: the client gets the same answer however often it
// asks. What failed for the moment is forgotten.
func ExamplePolicy() {
	policy := idemhttp.Policy{Decide: func(status int, header http.Header) idemhttp.Decision {
		if status == http.StatusPaymentRequired {
			return idemhttp.Keep
		}
		return idemhttp.IETF.Decide(status, header)
	}}
	fmt.Println(policy.Decide(http.StatusPaymentRequired, nil) == idemhttp.Keep)
	fmt.Println(policy.Decide(http.StatusServiceUnavailable, nil) == idemhttp.Forget)
	// Output:
	// true
	// true
}

// A handler that cannot work in one transaction uses pool mode: it calls another
// service, and is run again should the process die meanwhile. The key that it
// hands on is the same then.
func ExampleProtection_Check() {
	var store *idemtx.Store // from idemtx.New
	var capture func(ctx context.Context, key string) (receipt []byte, err error)
	p := idemhttp.New(store, idemhttp.Config{Scope: customer})
	serve := func(w http.ResponseWriter, r *http.Request) {
		request, err := p.Check(r)
		if err != nil {
			p.Refuse(r, request, err).Send(w)
			return
		}
		reply, err := idemtx.DoPool(r.Context(), store, request, func(ctx context.Context) (idemhttp.Response, error) {
			key, err := idemtx.DownstreamKey(request, "capture")
			if err != nil {
				return idemhttp.Response{}, err
			}
			receipt, err := capture(ctx, key)
			return idemhttp.Response{Status: http.StatusCreated, Body: receipt}, err
		})
		if err != nil {
			p.Refuse(r, request, err).Send(w)
			return
		}
		p.Answer(reply).Send(w)
	}
	_ = serve
}

// A payment API that answers as Stripe does. Its keys are UUIDs, and an id of the
// exchange is not replayed.
func ExampleConfig() {
	var store *idemtx.Store // from idemtx.New
	protect := idemhttp.Middleware(store, idemhttp.Config{
		Scope:       customer,
		Policy:      idemhttp.Stripe,
		KeyFormat:   regexp.MustCompile(`(?i)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`),
		DenyHeaders: []string{"X-Request-Id"},
	})
	_ = protect
}

// A framework that is not net/http reads the key, and calls idemtx.Do itself.
func ExampleParseKey() {
	quoted, _ := idemhttp.ParseKey([]string{`"8e03978e-40d5"`})
	raw, _ := idemhttp.ParseKey([]string{`8e03978e-40d5`})
	fmt.Println(quoted == raw, raw)
	_, err := idemhttp.ParseKey([]string{`"a", "b"`})
	fmt.Println(err)
	// Output:
	// true 8e03978e-40d5
	// idemtx: invalid request: the Idempotency-Key header is a list, or has a parameter
}
