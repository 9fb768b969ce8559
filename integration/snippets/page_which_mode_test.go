package snippets

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// Seat, Payout and Document are the replies of which-mode.md.
type (
	Seat     struct{ Number int }
	Payout   struct{ ID int64 }
	Document struct{ Name string }
)

func reserve(ctx context.Context, store *idemtx.Store, r idemtx.Request, seat int) (idemtx.Reply[Seat], error) {
	return idemtx.Do(ctx, store, r, func(ctx context.Context, tx pgx.Tx) (Seat, error) {
		taken, err := tx.Exec(ctx, "UPDATE seats SET taken = true WHERE number = $1 AND NOT taken", seat)
		if err == nil && taken.RowsAffected() == 0 {
			err = idemtx.ErrRefused // final: undone, kept and replayed; any other error is undone and forgotten
		}
		return Seat{Number: seat}, err
	})
}

func payOut(ctx context.Context, store *idemtx.Store, payday int64, payouts []idemtx.Request) error {
	return pgx.BeginFunc(ctx, store.Pool(), func(tx pgx.Tx) error {
		for _, r := range payouts { // in one order everywhere: each key is a lock until COMMIT
			_, err := idemtx.DoTx(ctx, store, tx, r, func(ctx context.Context, tx pgx.Tx) (Payout, error) {
				var p Payout
				err := tx.QueryRow(ctx, "INSERT INTO payouts (request) VALUES ($1) RETURNING id", r.Key).Scan(&p.ID)
				return p, err
			})
			if err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, "UPDATE paydays SET paid = true WHERE id = $1", payday)
		return err
	})
}

func render(ctx context.Context, store *idemtx.Store, r idemtx.Request,
	draw func(ctx context.Context, name string) error,
) (Document, error) {
	reply, err := idemtx.DoPool(ctx, store, r, func(ctx context.Context) (Document, error) {
		name, err := idemtx.DownstreamKey(r, "document") // the same in each run: the second overwrites the first
		if err != nil {
			return Document{}, err
		}
		return Document{Name: name}, draw(ctx, name)
	})
	if errors.Is(err, idemtx.ErrOutcomeUnknown) && reply.Value.Name != "" {
		return reply.Value, nil // it is drawn, and only its reply is not known to be kept
	}
	return reply.Value, err
}

func request(operation, key string, payload any) idemtx.Request {
	return idemtx.Request{Scope: whose, Operation: operation, Key: key, Payload: payload}
}

func TestWhichModeDo(t *testing.T) {
	t.Parallel()
	store := newStore(t, idemtx.Config{})
	run(t, store.Pool(), "CREATE TABLE seats (number int PRIMARY KEY, taken boolean NOT NULL DEFAULT false); INSERT INTO seats VALUES (12)")
	for i, key := range []string{"first", "second", "first", "second"} {
		reply, err := reserve(t.Context(), store, request("POST /seats", key, 12), 12)
		require.NoError(t, err)
		require.Equal(t, Seat{12}, reply.Value)
		require.Equal(t, key == "second", reply.Refused)
		require.Equal(t, i >= 2, reply.Replayed)
	}
}

func TestWhichModeDoTx(t *testing.T) {
	t.Parallel()
	store := newStore(t, idemtx.Config{})
	run(t, store.Pool(), `CREATE TABLE payouts (id bigint GENERATED ALWAYS AS IDENTITY, request text NOT NULL);
		CREATE TABLE paydays (id bigint PRIMARY KEY, paid boolean NOT NULL DEFAULT false); INSERT INTO paydays VALUES (7)`)
	payouts := []idemtx.Request{request("payout", "a", 1), request("payout", "b", 2)}
	for range 2 {
		require.NoError(t, payOut(t.Context(), store, 7, payouts))
	}
	require.Equal(t, 2, ask[int](t, store.Pool(), "SELECT count(*) FROM payouts"))
	require.True(t, ask[bool](t, store.Pool(), "SELECT paid FROM paydays"))
}

func TestWhichModeDoPool(t *testing.T) {
	t.Parallel()
	store := newStore(t, idemtx.Config{})
	var drawn []string
	broken := errors.New("no paper")
	fails := func(_ context.Context, name string) error {
		drawn = append(drawn, name)
		return broken
	}
	works := func(_ context.Context, name string) error {
		drawn = append(drawn, name)
		return nil
	}
	r := request("render", "k", "a page")
	_, err := render(t.Context(), store, r, fails)
	require.ErrorIs(t, err, broken)
	for range 2 {
		document, err := render(t.Context(), store, r, works)
		require.NoError(t, err)
		require.Equal(t, drawn[0], document.Name)
	}
	require.Equal(t, []string{drawn[0], drawn[0]}, drawn)
}
