package main

import (
	"encoding/json"
	"log/slog"
	"net"
	"net/http"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/idemtx/idemtx/idemhttp"
	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/scope"
)

// provider stands in for a mail provider, which is a service of somebody else: the
// orders' transaction does not reach it. As a good one does, it takes an
// Idempotency-Key, and sends a mail that comes twice with one key once.
//
// What it has sent are rows of the table mails.
type provider struct {
	pool   *pgxpool.Pool
	store  *idemtx.Store
	schema string // quoted
	url    string // that mails are posted to, from start on
}

// newProvider has a table of keys of its own: no key of the orders' clients is one
// of its clients'.
func newProvider(pool *pgxpool.Pool, schema string) (*provider, error) {
	store, err := idemtx.New(pool, idemtx.Config{
		Schema: schema,
		Table:  "mail_replies",
		TTL:    memory,
		Logger: slog.Default(),
	})
	return &provider{pool: pool, store: store, schema: pgx.Identifier{schema}.Sanitize()}, err
}

// start serves on a free port. The provider has one client, who needs no password on
// this machine.
func (p *provider) start() (*http.Server, error) {
	client, err := scope.New("", "orders")
	if err != nil {
		return nil, err
	}
	once := idemhttp.Middleware(p.store, idemhttp.Config{
		Scope:        func(*http.Request) (scope.Scope, error) { return client, nil },
		MaxBodyBytes: maxBody,
		Logger:       slog.Default(),
	})
	mux := http.NewServeMux()
	mux.Handle("POST /mails", once(http.HandlerFunc(p.send)))
	mux.HandleFunc("GET /mails", p.list)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p.url = "http://" + listener.Addr().String() + "/mails"
	server := newServer(mux)
	go func() { _ = server.Serve(listener) }() // until it is shut down
	return server, nil
}

// send commits the mail with the answer, as placeOrder does with an order.
func (p *provider) send(w http.ResponseWriter, r *http.Request) {
	var m mail
	if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
		fail(w, r, badRequest("The body must be a JSON object of to, subject and text."))
		return
	}
	var id int64
	err := idemhttp.Tx(r.Context()).QueryRow(r.Context(), `INSERT INTO `+p.schema+`.mails (recipient, subject, body)
		VALUES ($1, $2, $3) RETURNING id`, m.To, m.Subject, m.Text).Scan(&id)
	if err != nil {
		fail(w, r, err)
		return
	}
	send(w, http.StatusCreated, map[string]int64{"id": id})
}

// list shows the mails that were sent, the newest first.
func (p *provider) list(w http.ResponseWriter, r *http.Request) {
	rows, err := p.pool.Query(r.Context(), `SELECT recipient, subject, body FROM `+p.schema+`.mails
		ORDER BY id DESC LIMIT 100`)
	if err != nil {
		fail(w, r, err)
		return
	}
	mails, err := pgx.CollectRows(rows, pgx.RowToStructByPos[mail])
	if err != nil {
		fail(w, r, err)
		return
	}
	send(w, http.StatusOK, mails)
}
