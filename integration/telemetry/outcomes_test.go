package telemetry

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"

	"github.com/idemtx/idemtx/idemtx"
)

var errBroken = errors.New("broken")

// Each way to each outcome that it can have without a broken connection, and each once.
func TestEachOutcomeIsCounted(t *testing.T) {
	t.Parallel()
	for _, w := range ways {
		t.Run(string(w.mode), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, withConfig(func(c *idemtx.Config) { c.OnExpired = idemtx.RefuseExpired }))
			counted := func(outcome idemtx.Outcome) {
				t.Helper()
				require.EqualValues(t, 1, f.count("idemtx.calls", "idemtx.outcome", string(outcome)))
				require.EqualValues(t, 1, f.count("idemtx.calls", "idemtx.outcome", string(outcome), "idemtx.mode", string(w.mode)))
				require.EqualValues(t, 1, f.count("idemtx.call.duration", "idemtx.outcome", string(outcome)))
				require.EqualValues(t, 1, f.count("idemtx.store.duration", "idemtx.outcome", string(outcome)))
				require.Zero(t, f.count("idemtx.active_calls"))
				require.Equal(t, string(outcome), f.call()["idemtx.outcome"])
			}
			do := func(r idemtx.Request, fn func(context.Context) error) error { return w.do(t.Context(), f, r, fn) }

			require.NoError(t, do(request("k"), works))
			counted(idemtx.OutcomeFirst)
			require.NoError(t, do(request("k"), works))
			counted(idemtx.OutcomeReplayed)
			require.ErrorIs(t, do(other("k"), works), idemtx.ErrMismatch)
			counted(idemtx.OutcomeMismatch)

			r := request("held")
			end := f.held(r)
			r.OnDuplicate = idemtx.Refuse
			require.ErrorIs(t, do(r, works), idemtx.ErrInFlight)
			counted(idemtx.OutcomeInFlight)
			end()

			require.Error(t, do(request("broken"), func(context.Context) error { return errBroken }))
			counted(idemtx.OutcomeFailed)
			if w.mode != idemtx.ModeDoBatch { // whose work cannot refuse
				require.NoError(t, do(request("refused"), func(context.Context) error { return idemtx.ErrRefused }))
				counted(idemtx.OutcomeRefused)
			}
			f.age()
			require.ErrorIs(t, do(request("k"), works), idemtx.ErrExpired)
			counted(idemtx.OutcomeExpired)
		})
	}
}

func TestRunsOfAHandlerAreCounted(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, err := idemtx.Do(t.Context(), f.store, request("k"), func(ctx context.Context, tx pgx.Tx) (int, error) {
		if f.count("idemtx.active_calls") != 1 {
			return 0, errors.New("the call is not active")
		}
		var fails bool
		err := tx.QueryRow(ctx, "SELECT nextval(pg_get_serial_sequence('"+f.schema+".effects', 'id')) < 3").Scan(&fails)
		if err == nil && fails {
			_, err = tx.Exec(ctx, "DO $$ BEGIN RAISE EXCEPTION '' USING ERRCODE = 'serialization_failure'; END $$")
		}
		return 1, err
	})
	require.NoError(t, err)
	require.EqualValues(t, 3, f.count("idemtx.attempts", "idemtx.outcome", "first"))
	require.EqualValues(t, 2, f.count("idemtx.retries", "idemtx.outcome", "first"))
	require.EqualValues(t, 1, f.count("idemtx.handler.duration", "idemtx.outcome", "first"))
	require.Positive(t, f.took("idemtx.handler.duration"))
	require.Zero(t, f.count("idemtx.wait.duration"))
	require.Equal(t, "3", f.call()["idemtx.attempts"])

	_, err = idemtx.Do(t.Context(), f.store, request("k"), func(context.Context, pgx.Tx) (int, error) { return 1, nil })
	require.NoError(t, err)
	require.EqualValues(t, 3, f.count("idemtx.attempts"), "a replay runs nothing")
	require.EqualValues(t, 1, f.count("idemtx.handler.duration"))
}

// The metrics of a call and its span are there after a panic, too, and once.
func TestAPanicEndsItsCallOnce(t *testing.T) {
	t.Parallel()
	for _, w := range ways[:3] {
		t.Run(string(w.mode), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			require.PanicsWithValue(t, "broken", func() {
				_ = w.do(t.Context(), f, request("k"), func(context.Context) error { panic("broken") })
			})
			require.EqualValues(t, 1, f.count("idemtx.calls"))
			require.EqualValues(t, 1, f.count("idemtx.calls", "idemtx.outcome", "failed", "error.type", "panic"))
			require.EqualValues(t, 1, f.count("idemtx.attempts"))
			require.Zero(t, f.count("idemtx.active_calls"))
			calls := f.calls()
			require.Len(t, calls, 1)
			require.Equal(t, codes.Error, calls[0].Status.Code)
			require.NotContains(t, calls[0].Status.Description, "broken")
			require.Equal(t, "panic", f.call()["error.type"])
		})
	}
}

func TestTheWaitForAnotherRequestIsMeasured(t *testing.T) {
	t.Parallel()
	for _, w := range ways {
		t.Run(string(w.mode), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			end := f.held(request("k"))
			ended := make(chan error, 1)
			go func() { ended <- w.do(t.Context(), f, request("k"), works) }()
			f.blocked()
			require.EqualValues(t, 1, f.count("idemtx.active_calls", "idemtx.mode", string(w.mode)))
			end()
			err := <-ended
			if w.mode == idemtx.ModeDoBatch { // the other's reply has another type
				require.Error(t, err)
			} else {
				require.NoError(t, err)
			}
			require.EqualValues(t, 1, f.count("idemtx.wait.duration", "idemtx.mode", string(w.mode)))
			require.Positive(t, f.took("idemtx.wait.duration"))
			require.LessOrEqual(t, f.took("idemtx.wait.duration"), f.took("idemtx.call.duration"))
			require.NotEqual(t, "0", f.call()["idemtx.waited"])
		})
	}
}

// A call that finds the lease of another at its end takes the key over, and the other
// one's reply is not stored.
func TestATakeoverIsCounted(t *testing.T) {
	t.Parallel()
	for _, w := range []way{ways[2], ways[0]} {
		t.Run(string(w.mode), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			running, over := make(chan struct{}), make(chan struct{})
			slow := make(chan error, 1)
			_, store := f.open() // as in another process: here it would be waited for in line
			go func() {
				_, err := idemtx.DoPool(t.Context(), store, request("k"), func(ctx context.Context) (int, error) {
					close(running)
					select {
					case <-over:
					case <-ctx.Done(): // the test has failed
					}
					return 1, nil
				})
				slow <- err
			}()
			<-running
			f.exec("UPDATE {table} SET lease_until = clock_timestamp() - interval '1 second'")
			require.NoError(t, w.do(t.Context(), f, request("k"), works))
			require.EqualValues(t, 1, f.count("idemtx.takeovers"))
			require.EqualValues(t, 1, f.count("idemtx.takeovers", "idemtx.mode", string(w.mode), "idemtx.outcome", "first"))
			require.Equal(t, "true", f.call()["idemtx.took_over"])
			close(over)
			require.ErrorIs(t, <-slow, idemtx.ErrOutcomeUnknown)
			require.EqualValues(t, 1, f.count("idemtx.calls", "idemtx.outcome", "unknown", "error.type", "outcome_unknown"))
			require.Equal(t, codes.Error, f.calls()[1].Status.Code)
			require.Equal(t, idemtx.ErrOutcomeUnknown.Error(), f.calls()[1].Status.Description)
		})
	}
}
