package integration

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
	"github.com/idemtx/idemtx/idemtx"
)

const retention = 1000 * time.Hour

func retaining(c *idemtx.Config) { c.OnExpired, c.Retention = idemtx.RefuseExpired, retention }

func rerunning(c *idemtx.Config) { c.OnExpired, c.Retention = idemtx.Rerun, 0 }

// allModes are the modes of the contract, and DoBatch, whose work is SQL.
func allModes() []mode {
	return append([]mode{{idemtx.ModeDoBatch, true, func(ctx context.Context, f *fixture, r idemtx.Request, _ work) (idemtx.Reply[order], error) {
		return f.batch(ctx, r, f.ordering(r.Key))
	}}}, modes...)
}

// bury has the sweeper take away the reply to a key, which has expired.
func (f *fixture) bury(key string) {
	f.t.Helper()
	f.expire(key)
	n, err := f.store.DeleteExpired(f.t.Context(), 100)
	require.NoError(f.t, err)
	require.EqualValues(f.t, 1, n)
}

// endRetention lets the retention of every key end now.
func (f *fixture) endRetention() {
	f.t.Helper()
	exec(f.t, "UPDATE "+f.table()+" SET created_at = created_at - interval '1 year', expires_at = past, retain_until = past "+
		"FROM (SELECT clock_timestamp() - interval '1 second' AS past) AS clock")
}

// A key is refused after its reply has gone, and another request under it is told so,
// until its retention ends.
func TestRetainedKeyIsRefused(t *testing.T) {
	t.Parallel()
	for _, m := range allModes() {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, withConfig(retaining))
			first, err := m.do(t.Context(), f, f.request("k"), effect(f, "k"))
			require.NoError(t, err)
			require.Equal(t, 24*time.Hour, first.ExpiresAt.Sub(first.CreatedAt))
			require.EqualValues(t, retention/time.Second, ask[int64](t, "SELECT extract(epoch FROM retain_until - expires_at)::int8 FROM "+f.table()))

			f.bury("k")
			require.True(t, ask[bool](t, "SELECT num_nonnulls(response, body, lease_id, lease_until) = 0 AND expires_at = retain_until FROM "+f.table()))
			for range 2 { // one that is familiar with the key, and one that is not any more
				_, err = m.do(t.Context(), f, f.request("k"), mustNotRun(t))
				require.ErrorIs(t, err, idemtx.ErrExpired)
				_, err = m.do(t.Context(), f, f.other("k"), mustNotRun(t))
				require.ErrorIs(t, err, idemtx.ErrMismatch)
			}
			_, err = f.store.Get(t.Context(), f.scope, "k")
			require.ErrorIs(t, err, idemtx.ErrNotFound)
			stored, err := f.store.Put(t.Context(), f.scope, "k", idemtx.Entry{Response: []byte("1")})
			require.NoError(t, err)
			require.False(t, stored)
			n, err := f.store.DeleteExpired(t.Context(), 100)
			require.NoError(t, err)
			require.Zero(t, n)
			f.idle()
			require.Equal(t, 1, f.effects("k"))

			f.endRetention()
			_, err = m.do(t.Context(), f, f.request("k"), mustNotRun(t))
			require.ErrorIs(t, err, idemtx.ErrExpired)
			n, err = f.store.DeleteExpired(t.Context(), 100)
			require.NoError(t, err)
			require.EqualValues(t, 1, n)
			require.Zero(t, f.rows("k"))
			second, err := m.do(t.Context(), f, f.other("k"), effect(f, "k"))
			require.NoError(t, err)
			require.False(t, second.Replayed)
			require.Equal(t, 2, f.effects("k"))
		})
	}
}

// Who says Rerun means it, whatever is left of the key.
func TestRetainedKeyRunsAgain(t *testing.T) {
	t.Parallel()
	for _, m := range allModes() {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, withConfig(retaining))
			_, err := m.do(t.Context(), f, f.request("k"), effect(f, "k"))
			require.NoError(t, err)
			f.bury("k")
			rerun := f.peer(withConfig(rerunning))
			second, err := m.do(t.Context(), rerun, f.other("k"), effect(f, "k"))
			require.NoError(t, err)
			require.False(t, second.Replayed)
			require.Equal(t, 2, f.effects("k"))
			require.True(t, ask[bool](t, "SELECT retain_until IS NULL AND response IS NOT NULL FROM "+f.table()))
			third, err := m.do(t.Context(), f, f.other("k"), mustNotRun(t))
			require.NoError(t, err)
			require.True(t, third.Replayed)

			f.expire("k")
			_, err = f.store.DeleteExpired(t.Context(), 100)
			require.NoError(t, err)
			stored, err := rerun.store.Put(t.Context(), f.scope, "k", idemtx.Entry{Response: []byte("1")})
			require.NoError(t, err)
			require.True(t, stored)
		})
	}
}

// Put retains as a handler does, and takes the place of what is retained for Rerun.
func TestPutRetains(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withConfig(retaining))
	put := func(f *fixture) bool {
		stored, err := f.store.Put(t.Context(), f.scope, "k", idemtx.Entry{Response: []byte("1"), Body: []byte("2"), Refused: true})
		require.NoError(t, err)
		return stored
	}
	require.True(t, put(f))
	f.bury("k")
	require.False(t, put(f))
	require.True(t, put(f.peer(withConfig(rerunning))))
}

// A batch of the sweeper is the oldest rows, those whose reply it takes away included.
func TestSweeperBuriesAndDeletes(t *testing.T) {
	t.Parallel()
	told := new(sweepLog)
	f := newFixture(t, withConfig(func(c *idemtx.Config) { c.Tracer = told }))
	expired(f, 9)
	exec(t, "UPDATE "+f.table()+" SET retain_until = now() + interval '1 day' WHERE key IN ('1', '3', '5')")
	exec(t, "UPDATE "+f.table()+" SET retain_until = expires_at + interval '1 hour' WHERE key = '2'") // which is over
	n, err := f.store.DeleteExpired(t.Context(), 4)
	require.NoError(t, err)
	require.EqualValues(t, 4, n)
	require.ElementsMatch(t, []string{"1", "3", "5", "6", "7", "8", "9"}, f.keys())
	require.Equal(t, 2, ask[int](t, "SELECT count(*) FROM "+f.table()+" WHERE response IS NULL"))
	n, err = f.store.DeleteExpired(t.Context(), 100)
	require.NoError(t, err)
	require.EqualValues(t, 5, n)
	require.ElementsMatch(t, []string{"1", "3", "5"}, f.keys())
	require.Equal(t, []idemtx.TraceSweepData{{Deleted: 2, Buried: 2}, {Deleted: 4, Buried: 1}}, told.all())
}

// The save of a reply that was sent twice must not bring back what has been buried.
func TestRetainedKeyIsNotFoundByALateSave(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withConfig(retaining))
	_, err := idemtx.DoPool(t.Context(), f.store, f.request("k"), func(ctx context.Context) (order, error) {
		return f.effect(ctx, f.pool, "k")
	})
	require.NoError(t, err)
	id := ask[string](t, "SELECT lease_id::text FROM "+f.table())
	f.bury("k")
	require.Zero(t, ask[int](t, "SELECT count(*) FROM "+f.table()+" WHERE lease_id = $1::text::uuid", id))
}

func TestRetainedKeyOverHTTP(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withConfig(retaining))
	s := f.serve(idemhttp.Config{}, func(w http.ResponseWriter, r *http.Request) {
		if err := f.insert(r, "k"); err != nil {
			panic(err)
		}
		w.WriteHeader(http.StatusCreated)
	})
	require.Equal(t, http.StatusCreated, s.send(s.post("k", "{}")).status)
	f.bury("k")
	require.Equal(t, http.StatusGone, s.send(s.post("k", "{}")).status)
	require.Equal(t, http.StatusUnprocessableEntity, s.send(s.post("k", "[]")).status)
	require.Equal(t, 1, f.effects("k"))
}
