package integration

import (
	"context"
	"io"
	"net/http"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
	"github.com/idemtx/idemtx/idemtx"
)

// charging is a handler that has the provider charge an amount, and makes the
// order that was paid for.
func (f *fixture) charging(p *provider, r idemtx.Request, amount string) work {
	return func(ctx context.Context, db execer) (order, error) {
		key, err := idemtx.DownstreamKey(r, "charge")
		if err != nil {
			return order{}, err
		}
		id, err := p.charge(ctx, key, amount)
		if err != nil {
			return order{}, err
		}
		o, err := f.effect(ctx, db, r.Key)
		o.Note = id
		return o, err
	}
}

// undoings are why the first run of a handler leaves nothing, once it has called
// the provider: its write fails with an SQLSTATE, or its COMMIT does.
var undoings = map[string]struct {
	sqlState string
	deferred bool
}{
	"a serialization failure":           {"40001", false},
	"a serialization failure at COMMIT": {"40001", true},
	"a failure nobody tries again":      {"23514", false},
	"one of those at COMMIT":            {"23514", true},
}

// TestDownstreamKeyChargesOnce: some transactions that are undone are tried again
// here and others by the client, who sends its request until there is an answer.
func TestDownstreamKeyChargesOnce(t *testing.T) {
	t.Parallel()
	for _, m := range modes {
		for name, undoing := range undoings {
			t.Run(string(m.name)+"/"+name, func(t *testing.T) {
				t.Parallel()
				f, p := newFixture(t), newProvider(t)
				f.failing(1, undoing.sqlState, undoing.deferred)
				r := f.request("paid")
				reply, err := m.do(t.Context(), f, r, f.charging(p, r, "100"))
				if err != nil {
					require.Zero(t, f.effects("paid"))
					reply, err = m.do(t.Context(), f, r, f.charging(p, r, "100"))
				}
				require.NoError(t, err)
				require.False(t, reply.Replayed)
				require.Equal(t, "ch_1", reply.Value.Note)
				p.requireCharges(t, 2, "100")
				require.Equal(t, 1, f.effects("paid"))

				again, err := m.do(t.Context(), f, r, mustNotRun(t))
				require.NoError(t, err)
				require.Equal(t, reply.Value, again.Value)
			})
		}
	}
}

func TestDownstreamKeyChargesOnceBehindHTTP(t *testing.T) {
	t.Parallel()
	for name, undoing := range undoings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, p := newFixture(t), newProvider(t)
			f.failing(1, undoing.sqlState, undoing.deferred)
			s := f.serve(idemhttp.Config{}, func(w http.ResponseWriter, r *http.Request) {
				request, tx := idemhttp.Request(r.Context()), idemhttp.Tx(r.Context())
				o, err := f.charging(p, request, "100")(r.Context(), tx)
				if err != nil {
					http.Error(w, "try again", http.StatusInternalServerError)
					return
				}
				w.WriteHeader(http.StatusCreated)
				_, _ = io.WriteString(w, o.Note)
			})
			got := s.send(s.post("paid", "{}"))
			if got.status == http.StatusInternalServerError {
				require.Zero(t, f.effects("paid"))
				got = s.send(s.post("paid", "{}"))
			}
			require.Equal(t, http.StatusCreated, got.status, got.body)
			require.False(t, got.replayed())
			require.Equal(t, "ch_1", got.body)
			p.requireCharges(t, 2, "100")

			again := s.send(s.post("paid", "{}"))
			require.True(t, again.replayed())
			require.Equal(t, "ch_1", again.body)
			p.requireCharges(t, 2, "100")
			require.Equal(t, 1, f.effects("paid"))
		})
	}
}

// TestDownstreamKeyOfACorrectedRequest: the first attempt has charged and was
// forgotten here, so that only the provider can tell that this is another one.
func TestDownstreamKeyOfACorrectedRequest(t *testing.T) {
	t.Parallel()
	for _, m := range modes {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			f, p := newFixture(t), newProvider(t)
			f.failing(1, "23514", false)
			first, corrected := f.request("paid"), f.other("paid")
			corrected.Operation = "POST /better/orders"
			_, err := m.do(t.Context(), f, first, f.charging(p, first, "100"))
			require.Error(t, err)

			_, err = m.do(t.Context(), f, corrected, f.charging(p, corrected, "200"))
			require.ErrorIs(t, err, errOtherAmount)
			p.requireCharges(t, 2, "100")
			require.Zero(t, f.effects("paid"))

			_, err = m.do(t.Context(), f, first, f.charging(p, first, "100"))
			require.NoError(t, err, "what was asked for first is still to be had")
			p.requireCharges(t, 3, "100")
		})
	}
}

// TestDownstreamKeyOutlivesTheReply: the provider remembers the charge of a key
// that is forgotten here. A UNIQUE column knows that it has paid for an order.
func TestDownstreamKeyOutlivesTheReply(t *testing.T) {
	t.Parallel()
	f, p := newFixture(t), newProvider(t)
	exec(t, "CREATE TABLE "+f.schema+".payments (charge text UNIQUE)")
	r := f.request("paid")
	pay := func(ctx context.Context, tx pgx.Tx) (order, error) {
		o, err := f.charging(p, r, "100")(ctx, tx)
		if err != nil {
			return o, err
		}
		_, err = tx.Exec(ctx, "INSERT INTO "+f.schema+".payments VALUES ($1)", o.Note)
		return o, err
	}
	_, err := idemtx.Do(t.Context(), f.store, r, pay)
	require.NoError(t, err)
	f.expire("paid")

	_, err = idemtx.Do(t.Context(), f.store, r, pay)
	var refused *pgconn.PgError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "payments_charge_key", refused.ConstraintName)
	p.requireCharges(t, 2, "100")
	require.Equal(t, 1, f.effects("paid"))
}

// TestDownstreamKeyOfEachStep: the calls of one request do not get each other's
// answers, nor do those of other callers with the same key.
func TestDownstreamKeyOfEachStep(t *testing.T) {
	t.Parallel()
	f, p := newFixture(t), newProvider(t)
	f.failing(1, "40001", true)
	bob := f.request("paid")
	bob.Scope = mustScope(t, "tenant", "bob")
	for _, r := range []idemtx.Request{f.request("paid"), f.request("paid too"), bob} {
		reply, err := idemtx.Do(t.Context(), f.store, r, func(ctx context.Context, tx pgx.Tx) (order, error) {
			o, err := f.effect(ctx, tx, r.Key)
			if err != nil {
				return o, err
			}
			for _, item := range []string{"item 1741", "item 1742"} {
				key, err := idemtx.DownstreamKey(r, "charge "+item)
				if err != nil {
					return o, err
				}
				id, err := p.charge(ctx, key, "100")
				if err != nil {
					return o, err
				}
				o.Note += " " + id
			}
			return o, nil
		})
		require.NoError(t, err)
		require.Len(t, reply.Value.Note, len(" ch_1 ch_2"))
	}
	p.requireCharges(t, 8, "100", "100", "100", "100", "100", "100")
}
