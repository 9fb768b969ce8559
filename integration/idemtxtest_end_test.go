package integration

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtxtest"
)

// A lock of the session would have the next run wait for ever.
func TestCrashTellsOfALockThatIsLeft(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withMaxAttempts(1))
	r := crash(f, func(ctx context.Context, tx pgx.Tx) (order, error) {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_lock(hashtext($1))", f.schema); err != nil {
			return order{}, err
		}
		return f.effect(ctx, tx, "k")
	})
	require.Len(t, r.failures, 1)
	require.Contains(t, r.told(), "the handler leaves 1 advisory lock on its session")
}

// What a panic says is told once, whatever its stack is.
func TestCrashTellsOfPanicsOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withMaxAttempts(1))
	var seen sync.Map
	r := crash(f, func(ctx context.Context, tx pgx.Tx) (order, error) {
		if _, again := seen.LoadOrStore(idemtxtest.Request(ctx).Key, true); again {
			panic("no")
		}
		return f.effect(ctx, tx, "k")
	})
	var panics []string
	for _, failure := range r.failures {
		if strings.Contains(failure, "a retry with the same key fails: the handler panics: no") {
			panics = append(panics, failure)
		}
	}
	require.Len(t, panics, 1)
	require.Contains(t, strings.Join(r.logs, "\n"), "TestCrashTellsOfPanicsOnce")
}

func TestCrashTellsOfAHandlerThatEndsItsGoroutine(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withMaxAttempts(1))
	to := &recorder{TB: t}
	r := crash(f, func(ctx context.Context, tx pgx.Tx) (order, error) {
		o, err := f.effect(ctx, tx, "k")
		if err != nil {
			to.Fatalf("the test's own failure")
		}
		return o, nil
	})
	require.Equal(t, []string{
		"idemtxtest: the handler has ended its goroutine, as t.FailNow does: when a statement fails, it is to return the error",
	}, r.failures)
}

// lenient is a test whose fatal failures do not end it.
type lenient struct{ *recorder }

func (l lenient) Fatalf(format string, args ...any) { l.Errorf(format, args...) }

// What is fatal ends Crash, whatever the test's double does.
func TestCrashEndsWithADouble(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withMaxAttempts(1))
	broken := errors.New("broken")
	fails := func(context.Context, pgx.Tx) (order, error) { return order{}, broken }
	l := lenient{&recorder{TB: t}}
	idemtxtest.Crash(l, f.store, f.request("k"), fails, idemtxtest.Only(f.schema))
	require.Equal(t, []string{"idemtxtest: the first clean run: broken"}, l.failures)
	for _, crash := range []func(l lenient){
		func(l lenient) { idemtxtest.Crash(l, nil, f.request("k"), fails) },
		func(l lenient) { idemtxtest.Crash[order](l, f.store, f.request("k"), nil) },
	} {
		l := lenient{&recorder{TB: t}}
		crash(l)
		require.Equal(t, []string{"idemtxtest: the store or the handler is nil"}, l.failures)
	}
}
