package main

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
)

// order is what a client asks for.
type order struct {
	Customer string `json:"customer"`
	SKU      string `json:"sku"`
	Quantity int    `json:"quantity"`
}

// placedOrder is one that has taken its stock.
type placedOrder struct {
	ID int64 `json:"id"`
	order
	PlacedAt time.Time `json:"placed_at"`
}

var (
	errUnknownSKU = &problem{http.StatusNotFound, "Unknown sku", "There is no such thing here."}
	errSoldOut    = &problem{http.StatusConflict, "Sold out", "There is less in stock than was ordered. Nothing was done."}
)

var skuPattern = regexp.MustCompile(`^[a-z0-9-]{1,40}$`)

// validate returns the rule that o breaks, or nil.
func (o order) validate() error {
	switch {
	case strings.TrimSpace(o.Customer) == "":
		return badRequest("The customer is missing.")
	case utf8.RuneCountInString(o.Customer) > 100, strings.ContainsFunc(o.Customer, unicode.IsControl):
		return badRequest("The customer must have at most 100 characters, and no control characters.")
	case !skuPattern.MatchString(o.SKU):
		return badRequest("The sku must be 1 to 40 lower case letters, digits and hyphens.")
	case o.Quantity < 1 || o.Quantity > 100:
		return badRequest("The quantity must be between 1 and 100.")
	}
	return nil
}

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// ledger holds the orders and the stock, in the tables of schema.sql.
type ledger struct {
	schema string // quoted
}

// place takes the stock and records the order, in one transaction that is not
// its own to end.
func (l ledger) place(ctx context.Context, tx pgx.Tx, account string, o order) (placedOrder, error) {
	// The condition is a part of the update: of two orders for the last lamp, the
	// second waits here and then finds none.
	taken, err := tx.Exec(ctx, `UPDATE `+l.schema+`.stock SET available = available - $2
		WHERE sku = $1 AND available >= $2`, o.SKU, o.Quantity)
	if err != nil {
		return placedOrder{}, err
	}
	if taken.RowsAffected() == 0 {
		if _, err := l.available(ctx, tx, o.SKU); err != nil {
			return placedOrder{}, err
		}
		return placedOrder{}, errSoldOut
	}
	rows, err := tx.Query(ctx, `INSERT INTO `+l.schema+`.orders (account, customer, sku, quantity)
		VALUES ($1, $2, $3, $4) RETURNING id, customer, sku, quantity, placed_at`,
		account, o.Customer, o.SKU, o.Quantity)
	if err != nil {
		return placedOrder{}, err
	}
	return pgx.CollectExactlyOneRow(rows, scanOrder)
}

// list returns the latest orders of an account, the newest first.
func (l ledger) list(ctx context.Context, db querier, account string) ([]placedOrder, error) {
	rows, err := db.Query(ctx, `SELECT id, customer, sku, quantity, placed_at FROM `+l.schema+`.orders
		WHERE account = $1 ORDER BY id DESC LIMIT 100`, account)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanOrder)
}

// get returns one order, or pgx.ErrNoRows.
func (l ledger) get(ctx context.Context, db querier, id int64) (placedOrder, error) {
	rows, err := db.Query(ctx, `SELECT id, customer, sku, quantity, placed_at FROM `+l.schema+`.orders
		WHERE id = $1`, id)
	if err != nil {
		return placedOrder{}, err
	}
	return pgx.CollectExactlyOneRow(rows, scanOrder)
}

// available returns how many are left.
func (l ledger) available(ctx context.Context, db querier, sku string) (int, error) {
	var n int
	err := db.QueryRow(ctx, `SELECT available FROM `+l.schema+`.stock WHERE sku = $1`, sku).Scan(&n)
	if errors.Is(err, pgx.ErrNoRows) {
		err = errUnknownSKU
	}
	return n, err
}

func scanOrder(row pgx.CollectableRow) (placedOrder, error) {
	var p placedOrder
	err := row.Scan(&p.ID, &p.Customer, &p.SKU, &p.Quantity, &p.PlacedAt)
	p.PlacedAt = p.PlacedAt.UTC()
	return p, err
}
