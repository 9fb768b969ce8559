package snippets

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

func besideVersion1[T any](
	r idemtx.Request, hash string, work func(ctx context.Context, tx pgx.Tx) (T, error),
) func(ctx context.Context, tx pgx.Tx) (T, error) {
	return func(ctx context.Context, tx pgx.Tx) (reply T, err error) {
		var oldHash string
		var response []byte
		err = tx.QueryRow(ctx, `SELECT payload_hash, response FROM public.adcp_idempotency
			WHERE scope_key = $1 AND key = $2 AND expires_at > clock_timestamp()`,
			r.Scope.Key(), r.Key).Scan(&oldHash, &response)
		switch {
		case err == nil && oldHash != hash:
			return reply, idemtx.ErrMismatch
		case err == nil:
			return reply, json.Unmarshal(response, &reply) // a reply of version 1 becomes one of Do
		case !errors.Is(err, pgx.ErrNoRows):
			return reply, err
		}
		if reply, err = work(ctx, tx); err != nil {
			return reply, err
		}
		return reply, putVersion1(ctx, tx, r, hash, reply)
	}
}

func putVersion1(ctx context.Context, tx pgx.Tx, r idemtx.Request, hash string, reply any) error {
	response, err := json.Marshal(reply)
	if err != nil {
		return err
	}
	stored, err := tx.Exec(ctx, `INSERT INTO public.adcp_idempotency AS existing
			(scope_key, key, payload_hash, response, expires_at)
		VALUES ($1, $2, $3, $4, clock_timestamp() + interval '1 day')
		ON CONFLICT (scope_key, key) DO UPDATE SET
			payload_hash = excluded.payload_hash, response = excluded.response, expires_at = excluded.expires_at
		WHERE existing.expires_at <= clock_timestamp()`, r.Scope.Key(), r.Key, hash, response)
	if err == nil && stored.RowsAffected() == 0 {
		err = errors.New("a replica of version 1 was faster") // undone; a retry gets its reply
	}
	return err
}

// withVersion1 is a store in a database that has the page's old table.
func withVersion1(t *testing.T) *idemtx.Store {
	t.Helper()
	store := newStore(t, idemtx.Config{})
	for _, b := range blocksIn(t, "docs/migrating-from-version-1.md", "sql") {
		if strings.HasPrefix(b.text, "CREATE TABLE") {
			run(t, store.Pool(), b.text)
		}
	}
	run(t, store.Pool(), "CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY)")
	return store
}

func order(ctx context.Context, tx pgx.Tx) (o Order, err error) {
	err = tx.QueryRow(ctx, "INSERT INTO orders DEFAULT VALUES RETURNING id").Scan(&o.ID)
	return o, err
}

const putOfVersion1 = `INSERT INTO adcp_idempotency VALUES ('acme' || U&'\001E' || 'ann', $1, 'h', '{"ID": 77}', clock_timestamp() + $2::interval)`

func TestMigratingFromVersion1(t *testing.T) {
	t.Parallel()
	store := withVersion1(t)
	run(t, store.Pool(), putOfVersion1, "old", "1 hour")
	run(t, store.Pool(), putOfVersion1, "expired", "-1 hour")
	do := func(key, hash string) (int64, error) {
		r := request("order", key, hash)
		reply, err := idemtx.Do(t.Context(), store, r, besideVersion1(r, hash, order))
		return reply.Value.ID, err
	}
	_, err := do("old", "another")
	require.ErrorIs(t, err, idemtx.ErrMismatch)
	for range 2 {
		id, err := do("old", "h")
		require.NoError(t, err)
		require.EqualValues(t, 77, id)
	}
	for _, key := range []string{"expired", "new", "expired", "new"} {
		id, err := do(key, "h")
		require.NoError(t, err)
		require.Equal(t, map[string]int64{"expired": 1, "new": 2}[key], id)
	}
	require.Equal(t, 3, ask[int](t, store.Pool(), "SELECT count(*) FROM adcp_idempotency WHERE expires_at > clock_timestamp()"))
}

// A replica of version 1 puts its reply while the work is done here: one of both is
// undone, and it is this one.
func TestMigratingFromVersion1Overtaken(t *testing.T) {
	t.Parallel()
	store := withVersion1(t)
	r := request("order", "k", 1)
	_, err := idemtx.Do(t.Context(), store, r, besideVersion1(r, "h", func(ctx context.Context, tx pgx.Tx) (Order, error) {
		run(t, store.Pool(), putOfVersion1, "k", "1 hour")
		return order(ctx, tx)
	}))
	require.ErrorContains(t, err, "was faster")
	require.Zero(t, ask[int](t, store.Pool(), "SELECT count(*) FROM orders"))
	reply, err := idemtx.Do(t.Context(), store, r, besideVersion1(r, "h", order))
	require.NoError(t, err)
	require.EqualValues(t, 77, reply.Value.ID)
}
