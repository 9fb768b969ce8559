package idemtxtest_test

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/idemtxtest"
	"github.com/idemtx/idemtx/scope"
)

type ticket struct {
	Seat int `json:"seat"`
}

// takeSeat is the handler.
func takeSeat(ctx context.Context, tx pgx.Tx, seat int) (ticket, error) {
	done, err := tx.Exec(ctx, "UPDATE seats SET taken = true WHERE number = $1 AND NOT taken", seat)
	if err == nil && done.RowsAffected() == 0 {
		err = idemtx.ErrRefused
	}
	return ticket{seat}, err
}

// This is a test of its own: func TestTakeSeatSurvives(t *testing.T). The seat can
// be taken once, so it is freed before each run.
func ExampleCrash() {
	testTakeSeatSurvives := func(t *testing.T, store *idemtx.Store, whose scope.Scope) {
		r := idemtx.Request{Scope: whose, Operation: "POST /tickets", Key: "k", Payload: 12}
		idemtxtest.Crash(t, store, r, func(ctx context.Context, tx pgx.Tx) (ticket, error) {
			return takeSeat(ctx, tx, 12)
		}, idemtxtest.Reset(func(ctx context.Context) error {
			_, err := store.Pool().Exec(ctx, "UPDATE seats SET taken = false")
			return err
		}))
	}
	_ = testTakeSeatSurvives
}

// provider is a fake of a payment provider, which keeps to idempotency keys.
type provider struct {
	mu      sync.Mutex // two copies of the handler run at once
	charges map[string]int
}

func (p *provider) charge(key string, cents int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.charges[key] = cents
}

func (p *provider) list(context.Context) ([]int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Values(p.charges)), nil
}

// A payment provider's charges are effects, too. The handler calls it with a key
// that is the same each time it runs for one request.
func ExampleEffects() {
	testPaySurvives := func(t *testing.T, store *idemtx.Store, whose scope.Scope) {
		fake := &provider{charges: make(map[string]int)}
		r := idemtx.Request{Scope: whose, Operation: "POST /payments", Key: "k", Payload: 500}
		idemtxtest.Crash(t, store, r, func(ctx context.Context, tx pgx.Tx) (ticket, error) {
			key, err := idemtx.DownstreamKey(idemtxtest.Request(ctx), "charge")
			if err != nil {
				return ticket{}, err
			}
			fake.charge(key, 500)
			return takeSeat(ctx, tx, 12)
		}, idemtxtest.Effects("charges", fake.list))
	}
	_ = testPaySurvives
}
