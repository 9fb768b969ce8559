package main

import (
	"context"
	"log/slog"
	"net/http"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/idemtx/idemtx/idemhttp"
	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/scope"
)

// maxBody is far more than an order needs.
const maxBody = 4 << 10

// service answers HTTP requests.
type service struct {
	pool   *pgxpool.Pool
	store  *idemtx.Store
	ledger ledger
	outbox outbox

	// place is placeAndConfirm; the demo puts one here that dies.
	place func(ctx context.Context, tx pgx.Tx, r idemtx.Request, account string, o order) (placedOrder, error)
}

func newService(pool *pgxpool.Pool, store *idemtx.Store, l ledger, b outbox) *service {
	s := &service{pool: pool, store: store, ledger: l, outbox: b}
	s.place = s.placeAndConfirm
	return s
}

// placeAndConfirm places an order and has its confirmation sent, when tx commits.
func (s *service) placeAndConfirm(ctx context.Context, tx pgx.Tx, r idemtx.Request, account string, o order) (placedOrder, error) {
	placed, err := s.ledger.place(ctx, tx, account, o)
	if err != nil {
		return placedOrder{}, err
	}
	return placed, s.outbox.enqueue(ctx, tx, r, placed)
}

func (s *service) handler() http.Handler {
	once := idemhttp.Middleware(s.store, idemhttp.Config{
		Scope:        owner,
		MaxBodyBytes: maxBody,
		Policy:       idemhttp.Policy{Decide: decide},
		Logger:       slog.Default(),
	})
	mux := http.NewServeMux()
	mux.Handle("POST /orders", once(http.HandlerFunc(s.placeOrder)))
	mux.HandleFunc("GET /orders", s.listOrders)
	mux.HandleFunc("GET /stock/{sku}", s.showStock)
	mux.Handle(keysPath, s.keys())
	return mux
}

// decide keeps the 409 of what is sold out. A client that was told so may have
// bought elsewhere: its retry must not find the shelf filled again.
func decide(status int, header http.Header) idemhttp.Decision {
	if status == http.StatusConflict {
		return idemhttp.Keep
	}
	return idemhttp.IETF.Decide(status, header)
}

// account tells who sends r. It stands in for authentication and believes every
// token. A real service takes the account from its session, or from a token
// that it has verified.
func account(r *http.Request) (string, scope.Scope, error) {
	token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	owner, err := scope.New("", token)
	if !found || err != nil {
		return "", scope.Scope{}, errUnauthenticated
	}
	return token, owner, nil
}

// owner is whose idempotency keys r has.
func owner(r *http.Request) (scope.Scope, error) {
	_, owner, err := account(r)
	return owner, err
}

// placeOrder works in the transaction that its reply is stored in.
func (s *service) placeOrder(w http.ResponseWriter, r *http.Request) {
	account, _, err := account(r)
	if err != nil {
		fail(w, r, err)
		return
	}
	o, err := readOrder(w, r)
	if err != nil {
		fail(w, r, err)
		return
	}
	ctx := r.Context()
	placed, err := s.place(ctx, idemhttp.Tx(ctx), idemhttp.Request(ctx), account, o)
	if err != nil {
		fail(w, r, err)
		return
	}
	send(w, http.StatusCreated, placed)
}

func (s *service) listOrders(w http.ResponseWriter, r *http.Request) {
	account, _, err := account(r)
	if err != nil {
		fail(w, r, err)
		return
	}
	orders, err := s.ledger.list(r.Context(), s.pool, account)
	if err != nil {
		fail(w, r, err)
		return
	}
	send(w, http.StatusOK, orders)
}

func (s *service) showStock(w http.ResponseWriter, r *http.Request) {
	sku := r.PathValue("sku")
	if !skuPattern.MatchString(sku) {
		fail(w, r, errUnknownSKU)
		return
	}
	available, err := s.ledger.available(r.Context(), s.pool, sku)
	if err != nil {
		fail(w, r, err)
		return
	}
	send(w, http.StatusOK, map[string]any{"sku": sku, "available": available})
}
