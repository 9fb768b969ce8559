package idemhttp_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/idemtx/idemtx/idemhttp"
	"github.com/idemtx/idemtx/idemtx"
)

// A handler that is shared with routes that are not protected.
func ExampleTx() {
	var begin func(ctx context.Context) (pgx.Tx, error) // of the service
	note := func(ctx context.Context, text string) error {
		tx := idemhttp.Tx(ctx)
		if tx != nil {
			_, err := tx.Exec(ctx, "INSERT INTO notes (text) VALUES ($1)", text)
			return err // committed with the reply, or not at all
		}
		tx, err := begin(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback(ctx) }() // does nothing after a commit
		if _, err = tx.Exec(ctx, "INSERT INTO notes (text) VALUES ($1)", text); err != nil {
			return err
		}
		return tx.Commit(ctx)
	}
	_ = note
}

// The call to another service has a key that is the same each time the handler runs.
func ExampleRequest() {
	var charge func(ctx context.Context, key string) error
	pay := func(w http.ResponseWriter, r *http.Request) {
		key, err := idemtx.DownstreamKey(idemhttp.Request(r.Context()), "charge")
		if err != nil { // outside of a middleware
			http.Error(w, "internal error", http.StatusInternalServerError)
			return
		}
		if err := charge(r.Context(), key); err != nil {
			http.Error(w, "try again", http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusCreated)
	}
	_ = pay
}

// A framework with requests and responses of its own.
func ExampleNew() {
	var store *idemtx.Store // from idemtx.New
	protect := func() *idemhttp.Protection {
		return idemhttp.New(store, idemhttp.Config{Scope: customer, Optional: true})
	}
	_ = protect // it panics without a store
}

// What a Middleware does, for one handler.
func ExampleProtection_Handler() {
	mount := func(mux *http.ServeMux, p *idemhttp.Protection, createOrder http.HandlerFunc) {
		mux.Handle("POST /orders", p.Handler(createOrder))
	}
	_ = mount
}

// The adapter of a framework whose handlers return what is to be sent.
func ExampleProtection_Do() {
	type handler func(ctx context.Context, tx pgx.Tx) (status int, body []byte)
	adapt := func(p *idemhttp.Protection, h handler) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			p.Do(r, func(r *http.Request) idemhttp.Response {
				status, body := h(r.Context(), idemhttp.Tx(r.Context()))
				return idemhttp.Response{Status: status, Body: body}
			}).Send(w)
		}
	}
	_ = adapt
}

// What is not protected needs no copy of its request.
func ExampleProtection_Protects() {
	adapt := func(p *idemhttp.Protection, plain http.Handler, protected http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !p.Protects(r) {
				plain.ServeHTTP(w, r)
				return
			}
			protected.ServeHTTP(w, r)
		})
	}
	_ = adapt
}

// A handler whose work is a part of a transaction of its own.
func ExampleProtection_Answer() {
	var store *idemtx.Store // from idemtx.New
	var p *idemhttp.Protection
	work := func(ctx context.Context, tx pgx.Tx) (idemhttp.Response, error) {
		_, err := tx.Exec(ctx, "INSERT INTO orders DEFAULT VALUES")
		return idemhttp.Response{Status: http.StatusCreated}, err
	}
	serve := func(w http.ResponseWriter, r *http.Request) {
		request, err := p.Check(r)
		if err != nil {
			p.Refuse(r, request, err).Send(w)
			return
		}
		var reply idemtx.Reply[idemhttp.Response]
		err = pgx.BeginFunc(r.Context(), store.Pool(), func(tx pgx.Tx) (err error) {
			reply, err = idemtx.DoTx(r.Context(), store, tx, request, work)
			return err
		})
		if err != nil {
			p.Refuse(r, request, err).Send(w)
			return
		}
		p.Answer(reply).Send(w) // after the commit
	}
	_ = serve
}

// A request without a key is answered with a problem that says what is missing.
func ExampleProtection_Refuse() {
	pool, err := pgxpool.New(context.Background(), "postgres://localhost/shop")
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	store, err := idemtx.New(pool, idemtx.Config{})
	if err != nil {
		log.Fatal(err)
	}
	p := idemhttp.New(store, idemhttp.Config{Scope: customer})
	r := httptest.NewRequest(http.MethodPost, "/orders", strings.NewReader("{}"))
	r.SetBasicAuth("alice", "")
	request, err := p.Check(r)
	response := p.Refuse(r, request, err)
	fmt.Println(response.Status, response.Header.Get("Content-Type"))

	// Output: 400 application/problem+json
}

func ExampleResponse_Send() {
	w := httptest.NewRecorder()
	w.Header().Set("X-Request-Id", "7") // of a middleware outside
	response := idemhttp.Response{
		Status: http.StatusCreated,
		Header: http.Header{"Location": {"/orders/1"}},
		Body:   []byte("order 1\n"),
	}
	response.Send(w)
	body, err := io.ReadAll(w.Result().Body)
	fmt.Println(w.Code, w.Header().Get("Location"), w.Header().Get("X-Request-Id"), string(body), err)

	// Output:
	// 201 /orders/1 7 order 1
	//  <nil>
}

// A client that is done lets go of the connections it has kept.
func ExampleTransport_CloseIdleConnections() {
	client := &http.Client{Transport: &idemhttp.Transport{Base: &http.Transport{}}}
	defer client.CloseIdleConnections() // calls Transport's, which calls Base's
}
