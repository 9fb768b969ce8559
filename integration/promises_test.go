package integration

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// A caller that waits for another process has the turn in this one. Behind it, a
// caller that refuses to wait hears that the key is in flight, and not when the
// wait is over.
//
//	peer:  runs
//	A:     waits for the peer, in PostgreSQL or for the end of its claim
//	B:     behind A in memory, refuses
func TestRefuseBehindAWaiter(t *testing.T) {
	t.Parallel()
	for _, holder := range []mode{modes[0], modes[2]} {
		t.Run(string(holder.name), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, withConfig(func(c *idemtx.Config) { c.MaxWait = time.Hour }))
			end := inFlight(t, holder, f.peer(), "k")
			var waiter sync.WaitGroup
			waiter.Go(func() {
				reply, err := idemtx.Do(t.Context(), f.store, f.request("k"), f.handler("k"))
				if err != nil || !reply.Replayed {
					t.Error("the waiter has no replay:", err)
				}
			})
			refuse := f.request("k")
			refuse.OnDuplicate = idemtx.Refuse
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err := idemtx.Do(ctx, f.store, refuse, f.handler("k"))
			require.ErrorIs(t, err, idemtx.ErrInFlight)
			if holder.atomic {
				f.blocked(1) // now A has the turn for certain
			}
			_, err = idemtx.Do(ctx, f.store, refuse, f.handler("k"))
			require.ErrorIs(t, err, idemtx.ErrInFlight)
			end(nil)
			waiter.Wait()
			require.Equal(t, 1, f.effects("k"))
		})
	}
}

// A handler of DoTx that leaves rows unread has left writes that cannot be undone
// then. Whoever reads the rows later must not be able to commit them.
func TestRowsLeftUnreadCommitNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	tx := transaction(f)
	var unread pgx.Rows
	_, err := idemtx.DoTx(t.Context(), f.store, tx, f.request("k"), func(ctx context.Context, tx pgx.Tx) (order, error) {
		o, err := f.effect(ctx, tx, "k")
		require.NoError(t, err)
		unread, err = tx.Query(ctx, "SELECT generate_series(1, 3)")
		return o, err
	})
	require.ErrorIs(t, err, idemtx.ErrTxMisuse)
	unread.Close()
	require.Error(t, tx.Commit(t.Context()))
	require.Zero(t, f.effects("k"))
	require.Zero(t, f.rows("k"))
}

// The caller goes when COMMIT is on its way. It is told the truth all the same.
func TestContextThatEndsDuringCommit(t *testing.T) {
	t.Parallel()
	wire := newProxy(t)
	f := newFixture(t, through(wire))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	wire.meet(func(trip *trip) fate {
		if trip.commits() {
			cancel()
		}
		return deliver
	})
	reply, err := idemtx.Do(ctx, f.store, f.request("k"), f.handler("k"))
	require.ErrorIs(t, ctx.Err(), context.Canceled)
	require.NoError(t, err)
	require.False(t, reply.Replayed)
	wire.meet(nil)
	requireOnce(f, "k", reply)
}

// choosy is a codec that takes no bytes. pgx quotes what a codec does not take.
type choosy struct{ pgtype.ByteaCodec }

func (c choosy) PlanEncode(*pgtype.Map, uint32, int16, any) pgtype.EncodePlan { return c }

func (choosy) Encode(any, []byte) ([]byte, error) { return nil, errors.New("no bytes") }

// A reply that cannot be encoded was not sent, and nor was the COMMIT behind it:
// there is nothing to find out, and the error does not quote the value.
func TestErrorOfACodecShowsNoValue(t *testing.T) {
	t.Parallel()
	for _, exec := range execModes {
		t.Run(exec.String(), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.pool, f.store = f.open(withExecMode(exec), func(p *pgxpool.Config, _ *idemtx.Config) {
				p.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
					conn.TypeMap().RegisterType(&pgtype.Type{Name: "bytea", OID: pgtype.ByteaOID, Codec: choosy{}})
					return nil
				}
			})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			for _, m := range modes {
				key := string(m.name)
				_, err := m.do(ctx, f, f.request(key), effect(f, key))
				if exec == pgx.QueryExecModeExec || exec == pgx.QueryExecModeSimpleProtocol { // they ask no codec
					require.NoError(t, err, key)
					continue
				}
				require.Error(t, err, key)
				require.NotErrorIs(t, err, idemtx.ErrOutcomeUnknown, key)
				require.NotContains(t, err.Error(), "byte{", "the fingerprint")
				require.Zero(t, f.effects(key))
			}
		})
	}
}
