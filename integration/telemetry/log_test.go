package telemetry

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"

	"github.com/idemtx/idemtx/integration/internal/written"
)

// What idemtx logs. The test of the sources sees to it that nothing is left out.
const (
	sweepFailed = "idemtx: sweep failed"
	notRenewed  = "idemtx: a lease was not renewed"
	notReleased = "idemtx: a claim was not released; its key is blocked until the lease ends"
)

// logging has a store log whatever it logs to r.
// records is what has been logged, as JSON: the errors in full.
type records struct{ written.Text }

func (r *records) logging(c *idemtx.Config) {
	c.Logger = slog.New(slog.NewJSONHandler(r, &slog.HandlerOptions{Level: slog.LevelDebug - 100, AddSource: true}))
}

// entries are the records with a message.
func (r *records) entries(t *testing.T, message string) (found []map[string]any) {
	t.Helper()
	for line := range strings.Lines(r.String()) {
		var entry map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &entry))
		if entry["msg"] == message {
			found = append(found, entry)
		}
	}
	return found
}

// logs waits until a message has been logged.
func (r *records) logs(t *testing.T, message string) {
	t.Helper()
	require.Eventually(t, func() bool { return strings.Contains(r.String(), message) }, patience, tick)
}

// execModes are those that differ in what goes into an error: in the simple protocol the
// statement holds its arguments.
var execModes = []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol}

// discreet is a fixture that logs to records, for each of execModes.
func discreet(t *testing.T, lease time.Duration, test func(t *testing.T, f *fixture, r *records)) {
	t.Helper()
	for _, mode := range execModes {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			r := &records{}
			f := newFixture(t, withConfig(r.logging), func(p *pgxpool.Config, c *idemtx.Config) {
				p.ConnConfig.DefaultQueryExecMode = mode
				c.Lease = lease
			})
			test(t, f, r)
		})
	}
}

// requireDiscreet requires that a message is logged, with whose key it is about in no
// more than a hash and eight bytes, and nothing else of it.
func requireDiscreet(t *testing.T, r *records, message string) {
	t.Helper()
	found := r.entries(t, message)
	require.NotEmpty(t, found)
	for _, entry := range found {
		require.NotEmpty(t, entry["error"])
		if message != sweepFailed { // which is about no key
			require.Equal(t, secretRequest(t).Scope.LogID(), entry["scope"])
			require.Equal(t, "visible-", entry["key"])
		}
	}
	requireNoSecret(t, r.String())
}

// secretly has a DoPool at work on the secret request.
func (f *fixture) secretly(ctx context.Context, fn func(context.Context) (string, error)) error {
	_, err := idemtx.DoPool(ctx, f.store, secretRequest(f.t), fn)
	return err
}

func TestASweepThatFailsLogsNoSecret(t *testing.T) {
	t.Parallel()
	discreet(t, time.Hour, func(t *testing.T, f *fixture, r *records) {
		t.Helper()
		require.NoError(t, f.secretly(t.Context(), func(context.Context) (string, error) { return mark, nil }))
		f.age()
		f.exec(tells)
		stop := sweeping(t, f.store, time.Hour)
		r.logs(t, sweepFailed)
		stop()
		requireDiscreet(t, r, sweepFailed)
	})
}

func TestALeaseThatIsNotRenewedLogsNoSecret(t *testing.T) {
	t.Parallel()
	discreet(t, time.Second, func(t *testing.T, f *fixture, r *records) {
		t.Helper()
		err := f.secretly(t.Context(), func(context.Context) (string, error) {
			f.exec(tells)
			r.logs(t, notRenewed)
			return mark, nil
		})
		require.ErrorIs(t, err, idemtx.ErrOutcomeUnknown)
		requireNoSecret(t, err.Error())
		requireDiscreet(t, r, notRenewed)
	})
}

func TestAReleaseThatFailsLogsNoSecret(t *testing.T) {
	t.Parallel()
	failed := errors.New("the handler's " + mark)
	discreet(t, time.Hour, func(t *testing.T, f *fixture, r *records) {
		t.Helper()
		require.ErrorIs(t, f.secretly(t.Context(), func(context.Context) (string, error) {
			f.exec(tells)
			return "", failed
		}), failed)
		requireDiscreet(t, r, notReleased)
	})
}

// The server goes away under the renewal and the release.
func TestALostConnectionLogsNoSecret(t *testing.T) {
	t.Parallel()
	discreet(t, time.Second, func(t *testing.T, f *fixture, r *records) {
		t.Helper()
		failed := errors.New("the handler's " + mark)
		require.ErrorIs(t, f.secretly(t.Context(), func(context.Context) (string, error) {
			f.exec(ends)
			r.logs(t, notRenewed)
			return "", failed
		}), failed)
		requireDiscreet(t, r, notRenewed)
		requireDiscreet(t, r, notReleased)
	})
}

// ends is a trigger that ends its own connection.
const ends = `CREATE FUNCTION {schema}.gone() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		PERFORM pg_terminate_backend(pg_backend_pid());
		RETURN NULL;
	END $$;
	CREATE TRIGGER gone BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION {schema}.gone()`

// Another call takes the key over from one that is at work: nothing fails, and nothing
// is logged.
func TestALostLeaseLogsNoSecret(t *testing.T) {
	t.Parallel()
	// A quarter of it is a renewal's time: one that took longer would be logged.
	discreet(t, 20*time.Second, func(t *testing.T, f *fixture, r *records) {
		t.Helper()
		err := f.secretly(t.Context(), func(ctx context.Context) (string, error) {
			f.exec("UPDATE {table} SET lease_id = gen_random_uuid(), lease_until = clock_timestamp() + interval '1 hour'")
			<-ctx.Done()
			requireNoSecret(t, context.Cause(ctx).Error())
			return mark, nil
		})
		require.ErrorIs(t, err, idemtx.ErrOutcomeUnknown)
		requireNoSecret(t, err.Error())
		require.Empty(t, r.String())
	})
}

// Calls that go well, and those whose caller hears of what goes wrong, log nothing.
func TestWhatACallerHearsOfIsNotLogged(t *testing.T) {
	t.Parallel()
	discreet(t, time.Hour, func(t *testing.T, f *fixture, r *records) {
		t.Helper()
		for _, w := range ways {
			secret := secretRequest(t)
			secret.Key += string(w.mode)
			require.NoError(t, w.do(t.Context(), f, secret, works))
			secret.Payload = "another"
			require.ErrorIs(t, w.do(t.Context(), f, secret, works), idemtx.ErrMismatch)
			secret.Key += "-broken"
			require.Error(t, w.do(t.Context(), f, secret, func(context.Context) error { return errors.New(mark) }))
		}
		require.Empty(t, r.String())
	})
}
