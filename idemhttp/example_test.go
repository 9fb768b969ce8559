package idemhttp_test

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/idemtx/idemtx/idemhttp"
	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/scope"
)

// The handler's row and its reply are committed together. A retry gets the same
// reply, and there is one order.
func ExampleMiddleware() {
	var store *idemtx.Store // from idemtx.New
	mount := func(mux *http.ServeMux) {
		protect := idemhttp.Middleware(store, idemhttp.Config{
			Scope: func(r *http.Request) (scope.Scope, error) {
				user, _, ok := r.BasicAuth() // which something before it has checked
				if !ok {
					return scope.Scope{}, errors.New("nobody is signed in")
				}
				return scope.New("", user)
			},
		})
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
