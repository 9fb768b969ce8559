package integration

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
	"github.com/idemtx/idemtx/idemtx"
)

// strays are what a goroutine may do with a transaction that was lent to the
// handler which has left it behind. They signal when they have begun, and return
// the error that stops them.
var strays = map[string]func(ctx context.Context, f *fixture, tx pgx.Tx, begun chan<- struct{}) error{
	"statements": func(ctx context.Context, f *fixture, tx pgx.Tx, begun chan<- struct{}) error {
		for i := 0; ; i++ {
			if _, err := tx.Exec(ctx, f.inserting()); err != nil {
				return err
			}
			if i == 0 {
				close(begun)
			}
		}
	},
	"rows": func(ctx context.Context, _ *fixture, tx pgx.Tx, begun chan<- struct{}) error {
		rows, err := tx.Query(ctx, "SELECT generate_series(1, 100000000)")
		if err != nil {
			return err
		}
		defer rows.Close()
		for i := 0; rows.Next(); i++ {
			if i == 0 {
				close(begun)
			}
		}
		return rows.Err()
	},
	"batches": func(ctx context.Context, f *fixture, tx pgx.Tx, begun chan<- struct{}) error {
		for i := 0; ; i++ {
			b := new(pgx.Batch)
			b.Queue(f.inserting())
			b.Queue(f.inserting())
			if err := tx.SendBatch(ctx, b).Close(); err != nil {
				return err
			}
			if i == 0 {
				close(begun)
			}
		}
	},
	"savepoints": func(ctx context.Context, f *fixture, tx pgx.Tx, begun chan<- struct{}) error {
		for i := 0; ; i++ {
			err := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error { return ways["QueryRow"](ctx, tx, f) })
			if err != nil {
				return err
			}
			if i == 0 {
				close(begun)
			}
		}
	},
}

// TestStrayIsStopped: a goroutine that goes on when its handler has returned is
// stopped, at the end of the statement that is running. Nothing that it does
// outlives the undoing, and the connection is not lost.
func TestStrayIsStopped(t *testing.T) {
	t.Parallel()
	failed := errors.New("the handler has failed")
	for name, stray := range strays {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, withMaxConns(1))
			for range 20 {
				stopped := make(chan error, 1)
				_, err := idemtx.Do(t.Context(), f.store, f.request("stray"), func(ctx context.Context, tx pgx.Tx) (order, error) {
					begun := make(chan struct{})
					go func() { stopped <- stray(ctx, f, tx, begun) }()
					<-begun
					return order{}, failed
				})
				require.ErrorIs(t, err, failed)
				require.ErrorIs(t, <-stopped, idemtx.ErrTxMisuse)
			}
			_, err := idemtx.Do(t.Context(), f.store, f.request("stray"), f.handler("stray"))
			require.NoError(t, err)
			f.idle()
			require.Equal(t, 1, ask[int](t, "SELECT count(*) FROM "+f.schema+".effects"))
		})
	}
}

// TestStrayStatementIsWaitedFor: what a stray does while a reply is written would
// be done on one connection at once.
func TestStrayStatementIsWaitedFor(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withMaxConns(1))
	holder, err := pgx.Connect(t.Context(), serverURL())
	require.NoError(t, err)
	defer holder.Close(context.WithoutCancel(t.Context()))
	_, err = holder.Exec(t.Context(), "SELECT pg_advisory_lock(hashtext($1))", f.schema)
	require.NoError(t, err)

	statement, returns, done := make(chan error, 1), make(chan struct{}), make(chan error, 1)
	go func() {
		_, err := idemtx.Do(t.Context(), f.store, f.request("waits"), func(ctx context.Context, tx pgx.Tx) (order, error) {
			o, err := f.effect(ctx, tx, "waits")
			go func() {
				_, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtext($1))", f.schema)
				statement <- err
			}()
			f.blocked(1)
			close(returns)
			return o, err
		})
		done <- err
	}()
	<-returns
	_, err = holder.Exec(t.Context(), "SELECT pg_advisory_unlock(hashtext($1))", f.schema)
	require.NoError(t, err)
	require.NoError(t, <-statement)
	require.NoError(t, <-done)
	require.Equal(t, 1, f.effects("waits"))
}

// TestStrayDoTxLeavesOthersAlone: when it goes on, its connection is that of
// another request.
func TestStrayDoTxLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withMaxConns(1))
	inside, goOn, stopped := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	failed := errors.New("the handler has failed")
	_, err := idemtx.Do(t.Context(), f.store, f.request("outer"), func(ctx context.Context, tx pgx.Tx) (order, error) {
		go func() {
			_, err := idemtx.DoTx(ctx, f.store, tx, f.request("inner"), func(context.Context, pgx.Tx) (order, error) {
				close(inside)
				<-goOn
				return order{}, nil
			})
			stopped <- err
		}()
		<-inside
		return order{}, failed
	})
	require.ErrorIs(t, err, failed)

	_, err = idemtx.Do(t.Context(), f.store, f.request("another"), func(ctx context.Context, tx pgx.Tx) (order, error) {
		o, err := f.effect(ctx, tx, "another")
		close(goOn) // which a second run could not
		require.ErrorIs(t, <-stopped, idemtx.ErrTxMisuse)
		require.False(t, tx.Conn().IsClosed())
		return o, err
	})
	require.NoError(t, err)
	require.Equal(t, 1, f.effects("another"))
	require.Zero(t, f.rows("inner"))
}

// TestStrayStatementIsCutOff: one that would go on for ever does not hold up a
// caller whose context has ended.
func TestStrayStatementIsCutOff(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withMaxConns(1))
	ctx, cancel := context.WithCancel(t.Context())
	statement := make(chan error, 1)
	_, err := idemtx.Do(ctx, f.store, f.request("for ever"), func(ctx context.Context, tx pgx.Tx) (order, error) {
		go func() {
			_, err := tx.Exec(context.WithoutCancel(ctx), "SELECT pg_sleep(3600)")
			statement <- err
		}()
		require.Eventually(t, func() bool {
			return ask[bool](t, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = $1 AND wait_event = 'PgSleep')", f.schema)
		}, time.Minute, time.Millisecond)
		cancel()
		return order{}, ctx.Err()
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Error(t, <-statement)
	require.Eventually(t, func() bool { return f.pool.Stat().AcquiredConns() == 0 }, time.Minute, time.Millisecond)
}

// TestHTTPTimeoutHandlerInside leaves its handler behind in the middle of a
// statement. The key and the connection are free afterwards.
func TestHTTPTimeoutHandlerInside(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withMaxConns(1))
	type given struct{}
	slow := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var err error
		for err == nil {
			_, err = idemhttp.Tx(r.Context()).Exec(r.Context(), "SELECT pg_sleep(0.001)")
		}
		<-r.Context().Value(given{}).(chan struct{}) // not before it has been given up: this would do for an answer in time
	})
	limited := http.TimeoutHandler(slow, 5*time.Millisecond, "too slow")
	s := f.serve(idemhttp.Config{}, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Slow") == "" {
			assert.NoError(t, f.insert(r, "timeout"))
			return
		}
		up := make(chan struct{})
		defer close(up)
		limited.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), given{}, up)))
	})
	for range 30 {
		r := s.post("timeout", "{}")
		r.Header.Set("X-Slow", "yes")
		got := s.send(r)
		require.Equal(t, http.StatusServiceUnavailable, got.status)
		require.Equal(t, "too slow", got.body)
	}
	require.Equal(t, http.StatusOK, s.send(s.post("timeout", "{}")).status)
	require.Equal(t, 1, f.effects("timeout"))
	f.idle()
}
