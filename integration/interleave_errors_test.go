package integration

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// failing are the ends of a call of DoTx that come with an error and leave the
// connection. Each is to leave the caller's transaction as it was. fn does work
// under the key.
var failing = map[string]func(t *testing.T, f *fixture, tx pgx.Tx) error{
	"an error of the handler": func(t *testing.T, f *fixture, tx pgx.Tx) error {
		t.Helper()
		return call(t, f, tx, f.request("k"), func(context.Context, pgx.Tx) error { return errors.New("declined") })
	},
	"a failed statement, returned": func(t *testing.T, f *fixture, tx pgx.Tx) error {
		t.Helper()
		return call(t, f, tx, f.request("k"), func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "SELECT 1 / 0")
			return err
		})
	},
	"a failed statement, kept quiet": func(t *testing.T, f *fixture, tx pgx.Tx) error {
		t.Helper()
		return call(t, f, tx, f.request("k"), func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "SELECT 1 / 0")
			require.Error(t, err)
			return nil
		})
	},
	"a failed statement in a savepoint, kept quiet": func(t *testing.T, f *fixture, tx pgx.Tx) error {
		t.Helper()
		return call(t, f, tx, f.request("k"), func(ctx context.Context, tx pgx.Tx) error {
			inner, err := tx.Begin(ctx)
			require.NoError(t, err)
			_, err = inner.Exec(ctx, "SELECT 1 / 0")
			require.Error(t, err)
			return nil
		})
	},
	"a panic": func(t *testing.T, f *fixture, tx pgx.Tx) (err error) {
		t.Helper()
		defer func() { err, _ = recover().(error) }()
		return call(t, f, tx, f.request("k"), func(context.Context, pgx.Tx) error { panic(errors.New("boom")) })
	},
	"a reply that cannot be stored": func(t *testing.T, f *fixture, tx pgx.Tx) error {
		t.Helper()
		_, err := idemtx.DoTx(t.Context(), f.store, tx, f.request("k"), func(ctx context.Context, tx pgx.Tx) (string, error) {
			_, err := f.effect(ctx, tx, "k")
			return "a\x00b", err
		})
		return err
	},
	"a reply that PostgreSQL cannot store": func(t *testing.T, f *fixture, tx pgx.Tx) error {
		t.Helper()
		_, err := idemtx.DoTx(t.Context(), f.store, tx, f.request("k"), func(ctx context.Context, tx pgx.Tx) (rawReply, error) {
			_, err := f.effect(ctx, tx, "k")
			return rawReply("1e999999"), err
		})
		return err
	},
	"a mismatch": func(t *testing.T, f *fixture, tx pgx.Tx) error {
		t.Helper()
		_, err := idemtx.Do(t.Context(), f.store, f.request("k"), func(context.Context, pgx.Tx) (order, error) { return order{}, nil })
		require.NoError(t, err)
		return call(t, f, tx, f.other("k"), nil)
	},
	"a refusal while another runs": func(t *testing.T, f *fixture, tx pgx.Tx) error {
		t.Helper()
		defer inFlight(t, modes[0], f.peer(), "k")(errors.New("failed"))
		r := f.request("k")
		r.OnDuplicate = idemtx.Refuse
		return call(t, f, tx, r, nil)
	},
	"a mismatch while another runs": func(t *testing.T, f *fixture, tx pgx.Tx) error {
		t.Helper()
		defer inFlight(t, modes[0], f.peer(), "k")(errors.New("failed"))
		r := f.other("k")
		r.OnDuplicate = idemtx.Refuse
		return call(t, f, tx, r, nil)
	},
	"a wait that was too long": func(t *testing.T, f *fixture, tx pgx.Tx) error {
		t.Helper()
		defer inFlight(t, modes[0], f.peer(), "k")(errors.New("failed"))
		return call(t, f, tx, f.request("k"), nil)
	},
	"a wait for a claim that was too long": func(t *testing.T, f *fixture, tx pgx.Tx) error {
		t.Helper()
		running, end := make(chan struct{}), make(chan struct{})
		p := f.peer()
		claim := launch(t.Context(), modes[2], p, p.request("k"), func(ctx context.Context, _ execer) (order, error) {
			close(running)
			waitFor(ctx, end)
			return order{}, errors.New("failed")
		})
		defer func() { close(end); claim.ends(t) }()
		<-running
		return call(t, f, tx, f.request("k"), nil)
	},
	"a statement timeout in the wait": func(t *testing.T, f *fixture, tx pgx.Tx) error {
		t.Helper()
		defer inFlight(t, modes[0], f.peer(), "k")(errors.New("failed"))
		_, err := tx.Exec(t.Context(), "SET LOCAL statement_timeout = '1s'")
		require.NoError(t, err)
		return call(t, f, tx, f.request("k"), nil)
	},
	"a request that is invalid": func(t *testing.T, f *fixture, tx pgx.Tx) error {
		t.Helper()
		return call(t, f, tx, f.request(""), nil)
	},
	"a context that has ended": func(t *testing.T, f *fixture, tx pgx.Tx) error {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		_, err := idemtx.DoTx(ctx, f.store, tx, f.request("k"), func(ctx context.Context, tx pgx.Tx) (order, error) {
			o, err := f.effect(ctx, tx, "k")
			cancel()
			return o, errors.Join(err, ctx.Err())
		})
		return err
	},
}

// rawReply is a reply that is JSON of its own making.
type rawReply string

func (r rawReply) MarshalReply() (json.RawMessage, []byte, error) { return []byte(r), nil, nil }
func (r *rawReply) UnmarshalReply(response json.RawMessage, _ []byte) error {
	*r = rawReply(response)
	return nil
}

// call is a call of DoTx that does work and then what it is told, or must not
// run at all.
func call(t *testing.T, f *fixture, tx pgx.Tx, r idemtx.Request, then func(context.Context, pgx.Tx) error) error {
	t.Helper()
	_, err := idemtx.DoTx(t.Context(), f.store, tx, r, func(ctx context.Context, tx pgx.Tx) (order, error) {
		if then == nil {
			t.Error("the handler ran")
			return order{}, nil
		}
		o, err := f.effect(ctx, tx, r.Key)
		return o, errors.Join(err, then(ctx, tx))
	})
	return err
}

func TestCallersTransactionSurvivesEveryError(t *testing.T) {
	t.Parallel()
	for name, fail := range failing {
		for mode, exec := range map[string]pgx.QueryExecMode{
			"prepared": pgx.QueryExecModeCacheStatement, "simple": pgx.QueryExecModeSimpleProtocol,
		} {
			for _, served := range []bool{false, true} {
				t.Run(name+" "+mode, func(t *testing.T) {
					t.Parallel()
					f := newFixture(t, withExecMode(exec), withMaxWait(2*time.Second))
					if served { // the store has answered before
						_, err := modes[1].do(t.Context(), f, f.request("earlier"), effect(f, "earlier"))
						require.NoError(t, err)
					}
					tx := transaction(f)
					_, err := f.effect(t.Context(), tx, "before")
					require.NoError(t, err)

					require.Error(t, fail(t, f, tx))

					// The key is as it was, too: held by nobody.
					_, err = tx.Exec(t.Context(), "SET LOCAL statement_timeout = 0")
					require.NoError(t, err)
					_, err = idemtx.DoTx(t.Context(), f.store, tx, f.request("another"), f.handler("another"))
					require.NoError(t, err)
					_, err = f.effect(t.Context(), tx, "after")
					require.NoError(t, err)
					require.NoError(t, tx.Commit(t.Context()))
					for _, key := range []string{"before", "another", "after"} {
						require.Equal(t, 1, f.effects(key), key)
					}
					require.Zero(t, f.effects("k"))
					require.Equal(t, 1, f.rows("another"))
					f.idle()
					if !strings.Contains(name, "mismatch") {
						require.Zero(t, f.rows("k"))
						_, err = modes[0].do(t.Context(), f, f.request("k"), effect(f, "k"))
						require.NoError(t, err)
					}
				})
			}
		}
	}
}
