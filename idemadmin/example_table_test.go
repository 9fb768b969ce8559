package idemadmin_test

import (
	"context"
	"fmt"
	"time"

	"github.com/idemtx/idemtx/idemadmin"
	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/scope"
)

// An alarm for a sweeper that is not running.
func ExampleCount() {
	check := func(ctx context.Context, store *idemtx.Store) error {
		stats, err := idemadmin.Count(ctx, store)
		if err != nil {
			return err
		}
		if stats.Expired > 0 && time.Since(stats.OldestExpired) > time.Hour {
			return fmt.Errorf("%d rows are due, the oldest since %v", stats.Expired, stats.OldestExpired)
		}
		return nil
	}
	_ = check
}

// How much a sweep will have to do.
func ExampleDue() {
	sweep := func(ctx context.Context, store *idemtx.Store) error {
		due, err := idemadmin.Due(ctx, store)
		if err != nil || due == 0 {
			return err
		}
		_, err = store.DeleteExpired(ctx, 1000)
		return err
	}
	_ = sweep
}

// Handlers in pool mode that have been at it for long.
func ExampleInFlight() {
	slow := func(ctx context.Context, store *idemtx.Store) error {
		flights, err := idemadmin.InFlight(ctx, store, 100)
		for _, f := range flights {
			if time.Since(f.Since) > time.Minute {
				fmt.Println(f.ScopeLogID, f.Key, "since", f.Since)
			}
		}
		return err
	}
	_ = slow
}

// What a log tells of a customer is looked up by the hash that the log has.
func ExampleSearch() {
	find := func(ctx context.Context, store *idemtx.Store, customer scope.Scope) error {
		entries, err := idemadmin.Search(ctx, store, customer.LogID(), 20)
		for _, e := range entries {
			fmt.Println(e.Key, e.State, e.Since)
		}
		return err
	}
	_ = find
}
