package main

import (
	"net/http"

	"github.com/idemtx/idemtx/idemui"
)

// keysPath is where operators see what has become of keys.
const keysPath = "/admin/keys/"

// keys are the pages of operators. They show no key, no account and no reply.
func (s *service) keys() http.Handler {
	pages, err := idemui.New(s.store, idemui.Config{})
	if err != nil {
		panic(err) // the zero Config is within its bounds
	}
	return operatorsOnly(pages)
}

// operatorsOnly stands in for authentication and believes every password. The pages
// have none of their own.
func operatorsOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name, _, _ := r.BasicAuth(); name != "operator" {
			w.Header().Set("WWW-Authenticate", `Basic realm="orders"`)
			http.Error(w, "operators only", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}
