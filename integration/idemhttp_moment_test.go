package integration

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
)

// locked holds the table effects, which nobody else can use, until it is let go.
func (f *fixture) locked() (letGo func()) {
	f.t.Helper()
	ctx := context.WithoutCancel(f.t.Context())
	conn, err := pgx.Connect(ctx, serverURL())
	require.NoError(f.t, err)
	_, err = conn.Exec(ctx, "BEGIN; LOCK TABLE "+f.schema+".effects IN ACCESS EXCLUSIVE MODE")
	require.NoError(f.t, err)
	return func() { _ = conn.Close(ctx) }
}

// moments are how a statement fails of a lock that is held for a moment, and how
// that can be missed.
var moments = map[string]func(ctx context.Context, tx pgx.Tx, f *fixture) error{
	"Exec": ways["Exec"],
	"after a failure that was mended": func(ctx context.Context, tx pgx.Tx, f *fixture) error {
		err := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "SELECT 1/0")
			return err
		})
		if err == nil {
			return nil
		}
		return ways["Exec"](ctx, tx, f)
	},
	"in a savepoint":      ways["a savepoint"],
	"rows without an end": ways["rows that nobody closes"],
	"Prepare": func(ctx context.Context, tx pgx.Tx, f *fixture) error {
		_, err := tx.Prepare(ctx, "", f.inserting())
		return err
	},
	"the connection": func(ctx context.Context, tx pgx.Tx, f *fixture) error {
		_, err := tx.Conn().Exec(ctx, f.inserting())
		return err
	},
}

// TestHTTPWhatFailsForAMomentIsNotKept, by no policy, whatever error the handler
// makes of it.
func TestHTTPWhatFailsForAMomentIsNotKept(t *testing.T) {
	t.Parallel()
	for name, write := range moments {
		for _, status := range []int{http.StatusInternalServerError, http.StatusConflict} {
			t.Run(name+" "+http.StatusText(status), func(t *testing.T) {
				t.Parallel()
				f := newFixture(t)
				var free atomic.Bool
				s := f.serve(idemhttp.Config{Policy: idemhttp.Stripe}, func(w http.ResponseWriter, r *http.Request) {
					tx := idemhttp.Tx(r.Context())
					if !free.Load() {
						_, err := tx.Exec(r.Context(), "SET LOCAL lock_timeout = '10ms'")
						assert.NoError(t, err)
					}
					if err := write(r.Context(), tx, f); err != nil {
						http.Error(w, "try again", status)
					}
				})
				letGo := f.locked()
				first := s.send(s.post("moment", "{}"))
				letGo()
				free.Store(true)
				require.Equal(t, status, first.status, first.body)
				require.Zero(t, f.rows("moment"))
				require.Equal(t, http.StatusOK, s.send(s.post("moment", "{}")).status)
			})
		}
	}
}

// TestHTTPMigrationIsNotKept: every connection that has prepared a statement
// fails once when a migration changes what that returns.
func TestHTTPMigrationIsNotKept(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withMaxConns(1))
	s := f.serve(idemhttp.Config{Policy: idemhttp.Stripe}, func(w http.ResponseWriter, r *http.Request) {
		rows, _ := idemhttp.Tx(r.Context()).Query(r.Context(), "SELECT * FROM "+f.schema+".effects")
		if _, err := pgx.CollectRows(rows, pgx.RowToMap); err != nil {
			http.Error(w, "failed", http.StatusInternalServerError)
		}
	})
	require.Equal(t, http.StatusOK, s.send(s.post("before", "{}")).status)
	exec(t, "ALTER TABLE "+f.schema+".effects ADD COLUMN note text")
	require.Equal(t, http.StatusInternalServerError, s.send(s.post("after", "{}")).status)
	require.Equal(t, http.StatusOK, s.send(s.post("after", "{}")).status)
}

// TestHTTPRefusalAfterAMendedFailure is sent, and once: the handler has dealt
// with the failure. It is not kept, because it may come of it.
func TestHTTPRefusalAfterAMendedFailure(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.failing(1000, "40P01", false)
	s := f.serve(idemhttp.Config{Policy: idemhttp.Stripe}, func(w http.ResponseWriter, r *http.Request) {
		assert.Error(t, ways["a savepoint"](r.Context(), idemhttp.Tx(r.Context()), f))
		http.Error(w, "declined", http.StatusPaymentRequired)
	})
	require.Equal(t, http.StatusPaymentRequired, s.send(s.post("mended", "{}")).status)
	require.EqualValues(t, 1, s.runs.Load())
	require.Zero(t, f.rows("mended"))
}

// TestHTTPRefusalAfterSavepoints is kept: what was mended does not pass, and what
// went well is no failure.
func TestHTTPRefusalAfterSavepoints(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.serve(idemhttp.Config{Policy: idemhttp.Stripe}, func(w http.ResponseWriter, r *http.Request) {
		tx := idemhttp.Tx(r.Context())
		assert.NoError(t, ways["a savepoint"](r.Context(), tx, f))
		assert.Error(t, pgx.BeginFunc(r.Context(), tx, func(tx pgx.Tx) error {
			_, err := tx.Exec(r.Context(), "SELECT 1/0")
			return err
		}))
		http.Error(w, "declined", http.StatusPaymentRequired)
	})
	require.Equal(t, http.StatusPaymentRequired, s.send(s.post("kept", "{}")).status)
	require.Equal(t, http.StatusPaymentRequired, s.send(s.post("kept", "{}")).status)
	require.EqualValues(t, 1, s.runs.Load())
	require.Equal(t, 1, f.rows("kept"))
}

// ownErrors are those of the handler's side, which PostgreSQL knows nothing of, or
// has only been told of.
var ownErrors = map[string]func(ctx context.Context, tx pgx.Tx, f *fixture) error{
	"a callback": func(ctx context.Context, tx pgx.Tx, _ *fixture) error {
		b := new(pgx.Batch)
		b.Queue("SELECT 0").QueryRow(func(row pgx.Row) error {
			return cmp.Or(row.Scan(new(int)), errors.New("sold out"))
		})
		return tx.SendBatch(ctx, b).Close()
	},
	"a source": func(ctx context.Context, tx pgx.Tx, f *fixture) error {
		_, err := tx.CopyFrom(ctx, pgx.Identifier{f.schema, "effects"}, []string{"key"},
			pgx.CopyFromFunc(func() ([]any, error) { return nil, errors.New("sold out") }))
		return err
	},
	"a destination": func(ctx context.Context, tx pgx.Tx, _ *fixture) error {
		return tx.QueryRow(ctx, "SELECT NULL::text").Scan(new(string))
	},
	"an argument": func(ctx context.Context, tx pgx.Tx, _ *fixture) error {
		_, err := tx.Exec(ctx, "SELECT $1::int", "none")
		return err
	},
}

// TestHTTPOwnErrorsAreNoMoments: a refusal that comes of one is kept.
func TestHTTPOwnErrorsAreNoMoments(t *testing.T) {
	t.Parallel()
	for name, fail := range ownErrors {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			s := f.serve(idemhttp.Config{Policy: idemhttp.Stripe}, func(w http.ResponseWriter, r *http.Request) {
				if err := fail(r.Context(), idemhttp.Tx(r.Context()), f); err != nil {
					http.Error(w, "declined", http.StatusPaymentRequired)
				}
			})
			require.Equal(t, http.StatusPaymentRequired, s.send(s.post("own", "{}")).status)
			require.Equal(t, 1, f.rows("own"))
		})
	}
}

// TestHTTPBusyIsAnsweredInTheEnd: an error that asks for patience is not kept, or
// the client would be patient for nothing.
func TestHTTPBusyIsAnsweredInTheEnd(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var s *service
	s = f.serve(idemhttp.Config{Policy: idemhttp.Stripe}, func(w http.ResponseWriter, _ *http.Request) {
		if s.runs.Load() == 1 {
			w.Header().Set("Retry-After", "0")
			http.Error(w, "the account is being settled", http.StatusConflict)
		}
	})
	s.client.Transport = &idemhttp.Transport{Base: s.client.Transport, MinWait: time.Millisecond}
	got := s.send(s.post("busy", "{}"))
	require.Equal(t, http.StatusOK, got.status)
	require.EqualValues(t, 2, s.runs.Load())
}

// TestHTTPErrorAfterACommitOfItsOwn: the handler says that nothing was done, and
// has seen to it that something was.
func TestHTTPErrorAfterACommitOfItsOwn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.serve(idemhttp.Config{}, func(w http.ResponseWriter, r *http.Request) {
		assert.NoError(t, f.insert(r, "own"))
		_, err := idemhttp.Tx(r.Context()).Exec(r.Context(), "COMMIT")
		assert.NoError(t, err)
		http.Error(w, "declined", http.StatusPaymentRequired)
	})
	s.send(s.post("own", "{}")).requireProblem(t, http.StatusInternalServerError, "internal")
}
