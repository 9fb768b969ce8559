package snippets

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// Order and Charge are the replies of long-handlers-and-external-calls.md.
type (
	Order  struct{ ID int64 }
	Charge struct{ ID string }
)

func placeOrder(ctx context.Context, store *idemtx.Store, r idemtx.Request) (idemtx.Reply[Order], error) {
	return idemtx.Do(ctx, store, r, func(ctx context.Context, tx pgx.Tx) (Order, error) {
		var o Order
		err := tx.QueryRow(ctx, "INSERT INTO orders DEFAULT VALUES RETURNING id").Scan(&o.ID)
		if err != nil {
			return o, err
		}
		_, err = tx.Exec(ctx, "INSERT INTO outbox (topic, order_id) VALUES ('order placed', $1)", o.ID)
		return o, err // the message is sent if and only if there is an order, and by somebody else
	})
}

func pay(ctx context.Context, store *idemtx.Store, r idemtx.Request,
	provider func(ctx context.Context, key string) (id string, err error),
) (idemtx.Reply[Charge], error) {
	return idemtx.Do(ctx, store, r, func(ctx context.Context, tx pgx.Tx) (Charge, error) {
		key, err := idemtx.DownstreamKey(r, "charge")
		if err != nil {
			return Charge{}, err
		}
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second) // below idle_in_transaction_session_timeout
		defer cancel()
		id, err := provider(ctx, key) // before the first write, so that no row is locked meanwhile
		if err != nil {
			return Charge{}, err
		}
		_, err = tx.Exec(ctx, "INSERT INTO charges (id) VALUES ($1)", id) // a PRIMARY KEY
		return Charge{ID: id}, err
	})
}

func TestLongHandlersOutbox(t *testing.T) {
	t.Parallel()
	store := newStore(t, idemtx.Config{})
	run(t, store.Pool(), `CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY);
		CREATE TABLE outbox (id bigint GENERATED ALWAYS AS IDENTITY, topic text NOT NULL, order_id bigint NOT NULL)`)
	for range 2 {
		_, err := placeOrder(t.Context(), store, request("POST /orders", "k", "lamp"))
		require.NoError(t, err)
	}
	require.Equal(t, 1, ask[int](t, store.Pool(), "SELECT count(*) FROM outbox JOIN orders ON orders.id = order_id"))
}

func TestLongHandlersDownstreamKey(t *testing.T) {
	t.Parallel()
	store := newStore(t, idemtx.Config{})
	run(t, store.Pool(), "CREATE TABLE charges (id text PRIMARY KEY)")
	charges := map[string]int{}
	provider := func(_ context.Context, key string) (string, error) {
		charges[key]++
		if charges[key] == 1 {
			return "", errors.New("the answer is lost")
		}
		return "ch_1", nil
	}
	_, err := pay(t.Context(), store, request("POST /payments", "k", 500), provider)
	require.Error(t, err)
	for range 2 {
		reply, err := pay(t.Context(), store, request("POST /payments", "k", 500), provider)
		require.NoError(t, err)
		require.Equal(t, Charge{"ch_1"}, reply.Value)
	}
	require.Len(t, charges, 1)
	require.Equal(t, 1, ask[int](t, store.Pool(), "SELECT count(*) FROM charges"))
}

// idleAway has the server end the session of a transaction for idling, and returns
// when that has happened.
func idleAway(t *testing.T, watch *pgxpool.Pool, tx pgx.Tx) {
	t.Helper()
	_, err := tx.Exec(t.Context(), "SET LOCAL idle_in_transaction_session_timeout = '1ms'")
	require.NoError(t, err)
	pid := tx.Conn().PgConn().PID()
	require.Eventually(t, func() bool {
		var there bool
		err := watch.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)", pid).Scan(&there)
		return err == nil && !there
	}, time.Minute, 5*time.Millisecond)
}

// When the timeout fires, the transaction is undone and the connection is gone: Do
// runs the handler again, and nothing is there twice.
func TestLongHandlersIdleInTransaction(t *testing.T) {
	t.Parallel()
	for _, more := range []bool{false, true} { // whether the handler sends one more statement
		store := newStore(t, idemtx.Config{})
		run(t, store.Pool(), "CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY)")
		runs := 0
		reply, err := idemtx.Do(t.Context(), store, request("POST /orders", "k", 1), func(ctx context.Context, tx pgx.Tx) (Order, error) {
			runs++
			var o Order
			err := tx.QueryRow(ctx, "INSERT INTO orders DEFAULT VALUES RETURNING id").Scan(&o.ID)
			if err == nil && runs == 1 {
				if idleAway(t, store.Pool(), tx); more {
					_, err = tx.Exec(ctx, "SELECT 1")
				}
			}
			return o, err
		})
		require.NoError(t, err)
		require.Equal(t, 2, runs)
		require.Equal(t, reply.Value.ID, ask[int64](t, store.Pool(), "SELECT id FROM orders"))
	}
}

// When it fires in each run, the error is the server's, or tells of the connection.
func TestLongHandlersIdleInEachRun(t *testing.T) {
	t.Parallel()
	for _, more := range []bool{false, true} {
		store := newStore(t, idemtx.Config{})
		runs := 0
		_, err := idemtx.Do(t.Context(), store, request("POST /orders", "k", 1), func(ctx context.Context, tx pgx.Tx) (o Order, err error) {
			runs++
			if idleAway(t, store.Pool(), tx); more {
				_, err = tx.Exec(ctx, "SELECT 1")
			}
			return o, err
		})
		var pgErr *pgconn.PgError
		require.Equal(t, more, errors.As(err, &pgErr) && pgErr.Code == "25P03", "%v", err)
		if !more {
			require.EqualError(t, err, "idemtx: the connection was lost before COMMIT")
		}
		require.Equal(t, 3, runs)
		_, err = store.Get(t.Context(), whose, "k")
		require.ErrorIs(t, err, idemtx.ErrNotFound)
	}
}

// VACUUM keeps what a transaction might still see, and what is newer than one that has
// written.
func TestLongHandlersHoldBackVacuum(t *testing.T) {
	t.Parallel()
	store := newStore(t, idemtx.Config{})
	run(t, store.Pool(), "CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY)")
	_, err := idemtx.Do(t.Context(), store, request("POST /orders", "k", 1), func(ctx context.Context, tx pgx.Tx) (Order, error) {
		o, err := order(ctx, tx)
		require.True(t, ask[bool](t, store.Pool(),
			"SELECT backend_xid IS NOT NULL OR backend_xmin IS NOT NULL FROM pg_stat_activity WHERE pid = $1",
			tx.Conn().PgConn().PID()))
		return o, err
	})
	require.NoError(t, err)
}
