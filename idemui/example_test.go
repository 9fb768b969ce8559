package idemui_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/idemui"
)

// The pages are mounted behind the service's own authentication.
func ExampleNew() {
	pool, err := pgxpool.New(context.Background(), "postgres://localhost/shop") // it connects when it is used
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	store, err := idemtx.New(pool, idemtx.Config{Tracer: &idemui.Recorder{}})
	if err != nil {
		log.Fatal(err)
	}
	pages, err := idemui.New(store, idemui.Config{})
	if err != nil {
		log.Fatal(err)
	}
	operators := func(next http.Handler) http.Handler { // stands in for your own
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if name, _, _ := r.BasicAuth(); name != "operator" {
				http.Error(w, "operators only", http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	mux := http.NewServeMux()
	mux.Handle("/admin/keys/", operators(pages))

	for _, name := range []string{"", "operator"} {
		r := httptest.NewRequest(http.MethodGet, "/admin/keys/search", nil)
		r.SetBasicAuth(name, "secret")
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		fmt.Println(w.Code)
	}

	// Output:
	// 401
	// 200
}
