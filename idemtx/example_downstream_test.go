package idemtx_test

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/scope"
)

// The provider charges once, however often the handler runs.
func ExampleDownstreamKey() {
	pay := func(ctx context.Context, store *idemtx.Store, r idemtx.Request,
		charge func(ctx context.Context, key string) (id string, err error),
	) (receipt, error) {
		reply, err := idemtx.Do(ctx, store, r, func(ctx context.Context, tx pgx.Tx) (receipt, error) {
			key, err := idemtx.DownstreamKey(r, "charge")
			if err != nil {
				return receipt{}, err
			}
			chargeID, err := charge(ctx, key) // no rollback undoes this
			if err != nil {
				return receipt{}, err
			}
			var rec receipt
			err = tx.QueryRow(ctx, "INSERT INTO payments (charge_id) VALUES ($1) RETURNING id", chargeID).Scan(&rec.ID)
			return rec, err
		})
		return reply.Value, err
	}
	_ = pay
}

// Each call has a key of its own. One in a loop has the item's id in its name.
func ExampleDownstreamKey_steps() {
	whose, err := scope.New("acme", "alice")
	if err != nil {
		fmt.Println(err)
		return
	}
	r := idemtx.Request{Scope: whose, Key: "8e03978e-40d5-43dd-bc93-6894a57f9324"}
	for _, step := range []string{"charge", "ship parcel 1741", "ship parcel 1742", "charge"} {
		key, err := idemtx.DownstreamKey(r, step)
		fmt.Println(key, err)
	}

	// Output:
	// cd0f9ee1-6988-8433-9f2d-9666d17f8f7e <nil>
	// c6d3172b-22a4-86c5-a30b-c933e15986d6 <nil>
	// f4c29222-985e-8dd1-8d69-62b78b3c1596 <nil>
	// cd0f9ee1-6988-8433-9f2d-9666d17f8f7e <nil>
}
