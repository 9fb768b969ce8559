package integration

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
)

// failing makes the first n writes of effects fail with an SQLSTATE: at once, or
// at COMMIT when deferred. A sequence counts them, which no rollback undoes.
func (f *fixture) failing(n int, sqlState string, deferred bool) {
	f.t.Helper()
	exec(f.t, "CREATE SEQUENCE "+f.schema+".failures")
	exec(f.t, fmt.Sprintf(`CREATE FUNCTION %[1]s.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF nextval('%[1]s.failures') <= %[2]d THEN RAISE EXCEPTION 'secret' USING ERRCODE = '%[3]s'; END IF;
		RETURN NEW;
	END $$`, f.schema, n, sqlState))
	kind, when := "TRIGGER", "BEFORE INSERT ON "+f.schema+".effects"
	if deferred {
		kind, when = "CONSTRAINT TRIGGER", "AFTER INSERT ON "+f.schema+".effects DEFERRABLE INITIALLY DEFERRED"
	}
	exec(f.t, "CREATE "+kind+" fails "+when+" FOR EACH ROW EXECUTE FUNCTION "+f.schema+".fail()")
}

func (f *fixture) inserting() string {
	return "INSERT INTO " + f.schema + ".effects (key) VALUES ('again') RETURNING id"
}

// ways are how a handler may write: in all of them it has to be seen why a
// transaction has failed.
var ways = map[string]func(ctx context.Context, tx pgx.Tx, f *fixture) error{
	"Exec": func(ctx context.Context, tx pgx.Tx, f *fixture) error {
		_, err := tx.Exec(ctx, f.inserting())
		return err
	},
	"QueryRow": func(ctx context.Context, tx pgx.Tx, f *fixture) error {
		var id int64
		return tx.QueryRow(ctx, f.inserting()).Scan(&id)
	},
	"Query": func(ctx context.Context, tx pgx.Tx, f *fixture) error {
		rows, err := tx.Query(ctx, f.inserting())
		if err != nil {
			return err
		}
		_, err = pgx.CollectRows(rows, pgx.RowTo[int64])
		return err
	},
	"rows that nobody closes": func(ctx context.Context, tx pgx.Tx, f *fixture) error {
		rows, err := tx.Query(ctx, f.inserting())
		for err == nil && rows.Next() {
		}
		return err
	},
	"rows that nobody reads": func(ctx context.Context, tx pgx.Tx, f *fixture) error {
		rows, err := tx.Query(ctx, f.inserting())
		if err == nil {
			rows.Close()
		}
		return err
	},
	"CopyFrom": func(ctx context.Context, tx pgx.Tx, f *fixture) error {
		rows := pgx.CopyFromRows([][]any{{"again"}})
		_, err := tx.CopyFrom(ctx, pgx.Identifier{f.schema, "effects"}, []string{"key"}, rows)
		return err
	},
	"a savepoint": func(ctx context.Context, tx pgx.Tx, f *fixture) error {
		return pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, f.inserting())
			return err
		})
	},
	"a batch": func(ctx context.Context, tx pgx.Tx, f *fixture) error {
		b := &pgx.Batch{}
		b.Queue(f.inserting())
		return tx.SendBatch(ctx, b).Close()
	},
	"a batch's Exec": func(ctx context.Context, tx pgx.Tx, f *fixture) error {
		b := &pgx.Batch{}
		b.Queue(f.inserting())
		br := tx.SendBatch(ctx, b)
		_, err := br.Exec()
		if closeErr := br.Close(); err == nil {
			err = closeErr
		}
		return err
	},
	"a batch's QueryRow": func(ctx context.Context, tx pgx.Tx, f *fixture) error {
		b := &pgx.Batch{}
		b.Queue(f.inserting())
		br := tx.SendBatch(ctx, b)
		var id int64
		err := br.QueryRow().Scan(&id)
		if closeErr := br.Close(); err == nil {
			err = closeErr
		}
		return err
	},
	"a batch's Query": func(ctx context.Context, tx pgx.Tx, f *fixture) error {
		b := &pgx.Batch{}
		b.Queue(f.inserting())
		br := tx.SendBatch(ctx, b)
		rows, err := br.Query()
		if err == nil {
			_, err = pgx.CollectRows(rows, pgx.RowTo[int64])
		}
		if closeErr := br.Close(); err == nil {
			err = closeErr
		}
		return err
	},
	"a statement after another's failure": func(ctx context.Context, tx pgx.Tx, f *fixture) error {
		_ = pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "SELECT 1/0")
			return err
		})
		_, err := tx.Exec(ctx, f.inserting())
		return err
	},
	"an error nobody heeds": func(ctx context.Context, tx pgx.Tx, f *fixture) error {
		_, _ = tx.Exec(ctx, f.inserting())
		return nil
	},
	"a statement behind it": func(ctx context.Context, tx pgx.Tx, f *fixture) error {
		_, _ = tx.Exec(ctx, f.inserting())
		_, err := tx.Exec(ctx, "SELECT 1") // the transaction is aborted, and that is all this says
		return err
	},
}

// TestHTTPRunsAgainAfterASerializationFailure, whatever the handler has made of
// it, with its body, and without what the first run has said.
func TestHTTPRunsAgainAfterASerializationFailure(t *testing.T) {
	t.Parallel()
	for _, sqlState := range []string{"40001", "40P01"} {
		for name, write := range ways {
			t.Run(sqlState+" in "+name, func(t *testing.T) {
				t.Parallel()
				f := newFixture(t)
				f.failing(1, sqlState, false)
				runsAgain(t, f, write)
			})
		}
		t.Run(sqlState+" at COMMIT", func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.failing(1, sqlState, true)
			runsAgain(t, f, ways["Exec"])
		})
	}
}

func runsAgain(t *testing.T, f *fixture, write func(context.Context, pgx.Tx, *fixture) error) {
	t.Helper()
	var s *service
	s = f.serve(idemhttp.Config{}, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		w.Header().Set(fmt.Sprint("X-Run-", s.runs.Load()), r.Header.Get("X-Changed"))
		r.Header.Set("X-Changed", "yes")
		if err := write(r.Context(), idemhttp.Tx(r.Context()), f); err != nil {
			http.Error(w, "try again", http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write(body)
	})
	for i := range 2 {
		got := s.send(s.post("again", `{"a": 1}`))
		require.Equal(t, http.StatusCreated, got.status, got.body)
		require.Equal(t, `{"a": 1}`, got.body)
		require.Equal(t, i == 1, got.replayed())
		require.NotContains(t, got.header, "X-Run-1")
		require.Equal(t, []string{""}, got.header["X-Run-2"])
	}
	require.EqualValues(t, 2, s.runs.Load())
	require.Equal(t, 1, f.effects("again"))
}

// TestHTTPSerializationFailureIsNeverKept: a refusal that was only PostgreSQL's
// is not the handler's last word, nor is it sent when it does not end.
func TestHTTPSerializationFailureIsNeverKept(t *testing.T) {
	t.Parallel()
	keepAll := idemhttp.Policy{Decide: func(int, http.Header) idemhttp.Decision { return idemhttp.Keep }}
	for _, sqlState := range []string{"40001", "40P01"} {
		t.Run(sqlState, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.failing(1000, sqlState, false)
			s := f.serve(idemhttp.Config{Policy: keepAll}, func(w http.ResponseWriter, r *http.Request) {
				if err := f.insert(r, "never"); err != nil {
					http.Error(w, "the seat is taken", http.StatusConflict)
				}
			})
			got := s.send(s.post("never", "{}"))
			got.requireProblem(t, http.StatusServiceUnavailable, "unavailable")
			require.Equal(t, "1", got.header.Get("Retry-After"))
			require.EqualValues(t, 3, s.runs.Load())
			require.Zero(t, f.rows("never"))
		})
	}
}

// TestHTTPMendedFailureIsNone: a handler that goes back to a savepoint has dealt
// with the failure itself.
func TestHTTPMendedFailureIsNone(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.failing(1, "40P01", false)
	s := f.serve(idemhttp.Config{}, func(w http.ResponseWriter, r *http.Request) {
		err := ways["a savepoint"](r.Context(), idemhttp.Tx(r.Context()), f)
		assert.Error(t, err)
		w.WriteHeader(http.StatusAccepted)
	})
	require.Equal(t, http.StatusAccepted, s.send(s.post("mended", "{}")).status)
	require.EqualValues(t, 1, s.runs.Load())
	require.Equal(t, 1, f.rows("mended"))
}

func TestHTTPRunsAgainAfterALostConnection(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var s *service
	s = f.serve(idemhttp.Config{}, func(w http.ResponseWriter, r *http.Request) {
		if s.runs.Load() == 1 {
			pid := idemhttp.Tx(r.Context()).Conn().PgConn().PID()
			assert.True(t, ask[bool](t, "SELECT pg_terminate_backend($1, 60000)", pid))
		}
		if err := f.insert(r, "lost"); err != nil {
			http.Error(w, "try again", http.StatusInternalServerError)
		}
	})
	got := s.send(s.post("lost", "{}"))
	require.Equal(t, http.StatusOK, got.status, got.body)
	require.EqualValues(t, 2, s.runs.Load())
	require.Equal(t, 1, f.effects("lost"))
}

// TestHTTPHandlerThatGivesUpIsNotRunAgain: its own deadline has closed the
// connection, which looks like a lost one.
func TestHTTPHandlerThatGivesUpIsNotRunAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.serve(idemhttp.Config{}, func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 10*time.Millisecond)
		defer cancel()
		_, err := idemhttp.Tx(r.Context()).Exec(ctx, "SELECT pg_sleep(60)")
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		http.Error(w, "too slow", http.StatusGatewayTimeout)
	})
	got := s.send(s.post("slow", "{}"))
	require.Equal(t, http.StatusGatewayTimeout, got.status)
	require.Equal(t, "too slow\n", got.body)
	require.EqualValues(t, 1, s.runs.Load())
	require.Zero(t, f.rows("slow"))
}
