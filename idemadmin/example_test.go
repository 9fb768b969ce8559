package idemadmin_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/idemtx/idemtx/idemadmin"
	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/scope"
)

// A customer asks what has become of a payment.
func ExampleLook() {
	answer := func(ctx context.Context, store *idemtx.Store, customer scope.Scope, key string) (string, error) {
		is, err := idemadmin.Look(ctx, store, customer, key)
		switch {
		case err != nil:
			return "", err
		case is.State == idemadmin.StateAbsent:
			return "it never arrived, or is forgotten", nil
		case is.State == idemadmin.StateInFlight && is.Pid != 0:
			return fmt.Sprintf("backend %d has been at it since %v", is.Pid, is.Since), nil
		}
		return fmt.Sprintf("%s since %v", is.State, is.Since), nil
	}
	_ = answer
}

// A payment that was made by hand is forgotten, unless it is being made after all.
func ExampleForget() {
	forget := func(ctx context.Context, store *idemtx.Store, customer scope.Scope, key string) error {
		deleted, err := idemadmin.Forget(ctx, store, customer, key)
		switch {
		case errors.Is(err, idemtx.ErrInFlight):
			return errors.New("somebody is at it: ask again later")
		case err == nil && !deleted:
			return errors.New("nothing is stored under this key")
		}
		return err
	}
	_ = forget
}

// A check at the start of a program, or every night.
func ExampleExamine() {
	check := func(ctx context.Context, store *idemtx.Store) error {
		findings, err := idemadmin.Examine(ctx, store)
		for _, f := range findings {
			if f.Level == idemadmin.LevelBad {
				err = errors.Join(err, fmt.Errorf("%s: %s: %s", f.Subject, f.Text, f.Advice))
			}
		}
		return err
	}
	_ = check
}
