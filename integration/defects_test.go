package integration

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/scope"
)

// Defects that idempotency systems have had, one test for each. The comment says
// what would be broken. Where another test says more:
//
//	no execution lock           TestContract/.../RunsOnceUnderRace
//	loser owns what failed      TestContract/.../WaiterOwnsWhatFailed
//	schema drift                TestVerifySchema..., TestBadInputTableMissing
//	truncated index name        TestCreateSchemaWithAnyName
//	handlers that misuse tx     TestMisuse...

// pending is a request in flight.
type pending struct {
	outcome chan<- error
	done    <-chan struct{}
	reply   idemtx.Reply[order]
	err     error
}

// start returns when the handler of the request has done its work.
func start(t *testing.T, m mode, f *fixture, key string) *pending {
	t.Helper()
	running, outcome, done := make(chan struct{}), make(chan error), make(chan struct{})
	p := &pending{outcome: outcome, done: done}
	go func() {
		defer close(done)
		p.reply, p.err = m.do(t.Context(), f, f.request(key), func(ctx context.Context, db execer) (order, error) {
			o, err := f.effect(ctx, db, key)
			close(running)
			select {
			case failure := <-outcome:
				return o, errors.Join(err, failure)
			case <-ctx.Done(): // the test has failed
				return o, ctx.Err()
			}
		})
	}()
	<-running
	return p
}

// finish lets the handler return err, and returns what came of the request.
func (p *pending) finish(err error) (idemtx.Reply[order], error) {
	p.outcome <- err
	<-p.done
	return p.reply, p.err
}

// now is the server's clock.
func now(t *testing.T) time.Time {
	t.Helper()
	return ask[time.Time](t, "SELECT clock_timestamp()")
}

// Without a lock both requests run, and the one that comes second returns its own
// reply although the first one's is stored.
func TestDefectNoExecutionLock(t *testing.T) {
	t.Parallel()
	for _, m := range modes {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			p, other := start(t, m, f, "k"), f.peer()
			again := f.request("k")
			again.OnDuplicate = idemtx.Refuse
			_, err := m.do(t.Context(), other, again, mustNotRun(t))
			require.ErrorIs(t, err, idemtx.ErrInFlight)
			first, err := p.finish(nil)
			require.NoError(t, err)
			second, err := m.do(t.Context(), other, again, mustNotRun(t))
			require.NoError(t, err)
			require.True(t, second.Replayed)
			require.Equal(t, first.Value, second.Value)
			require.Equal(t, 1, f.effects("k"))
		})
	}
}

// A Put that stores nothing and does not say so: the loser believes that its own
// reply is the one that will be replayed.
func TestDefectPutWithoutVerdict(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	stored, err := f.store.Put(t.Context(), f.scope, "k", idemtx.Entry{Response: []byte(`"first"`)})
	require.NoError(t, err)
	require.True(t, stored)
	stored, err = f.store.Put(t.Context(), f.scope, "k", idemtx.Entry{Response: []byte(`"second"`)})
	require.NoError(t, err)
	require.False(t, stored)
	require.NoError(t, pgx.BeginFunc(t.Context(), f.pool, func(tx pgx.Tx) error {
		stored, err := f.store.PutTx(t.Context(), tx, f.scope, "k", idemtx.Entry{Response: []byte(`"third"`)})
		require.NoError(t, err)
		require.False(t, stored)
		return nil
	}))
	entry, err := f.store.Get(t.Context(), f.scope, "k")
	require.NoError(t, err)
	require.JSONEq(t, `"first"`, string(entry.Response))
}

// A replay that cannot be told from a first reply makes its reader count twice; a
// marker that is stored comes back with the first reply, too, or not at all.
func TestDefectReplayWithoutMarker(t *testing.T) {
	t.Parallel()
	for _, m := range modes {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			for _, replayed := range []bool{false, true, true} {
				reply, err := m.do(t.Context(), f, f.request("k"), effect(f, "k"))
				require.NoError(t, err)
				require.Equal(t, replayed, reply.Replayed)
				require.JSONEq(t, `{"number":1}`, ask[string](t, "SELECT response::text FROM "+f.table()))
			}
		})
	}
}

// A request without an identity that runs unprotected is done twice when it is
// sent twice, and nobody notices before.
func TestDefectMissingIdentityRuns(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, m := range modes {
		r := f.request("k")
		r.Scope = scope.Scope{}
		_, err := m.do(t.Context(), f, r, mustNotRun(t))
		require.ErrorIs(t, err, idemtx.ErrInvalidRequest, m.name)
	}
	_, err := scope.New("tenant", "")
	require.ErrorIs(t, err, idemtx.ErrInvalidRequest)
}

// A lock on a second connection of the pool that the handler needs: under load
// every caller has one connection and waits for another, for ever.
func TestDefectPoolDeadlock(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mode  mode
		conns int32
	}{{modes[0], 1}, {modes[0], 2}, {modes[1], 1}, {modes[1], 2}, {modes[2], 2}} {
		t.Run(fmt.Sprintf("%s/%d", c.mode.name, c.conns), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, withMaxConns(c.conns))
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // where a deadlock ends
			defer cancel()
			var wg sync.WaitGroup
			for _, key := range "abcdefghijklmnopqrst" {
				wg.Go(func() {
					_, err := c.mode.do(ctx, f, f.request(string(key)), effect(f, "k"))
					if err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			require.Equal(t, 20, f.effects("k"))
		})
	}
}

// later returns a reading of the server's clock that is visibly after the start
// of db's transaction.
func later(ctx context.Context, db execer) (reading time.Time, err error) {
	for passed := false; !passed && err == nil; {
		err = db.QueryRow(ctx, `SELECT clock_timestamp(),
			clock_timestamp() > transaction_timestamp() + interval '20 milliseconds'`).Scan(&reading, &passed)
	}
	return reading, err
}

// now() is the start of the transaction. A reply that takes its times from it is
// older than the work, and in a long transaction born expired; one that is judged
// by it is replayed after its end.
func TestDefectTransactionTime(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var before time.Time
	for _, m := range modes[:2] {
		reply, err := m.do(t.Context(), f, f.request(string(m.name)), func(ctx context.Context, db execer) (o order, err error) {
			before, err = later(ctx, db)
			return o, err
		})
		require.NoError(t, err)
		require.False(t, reply.CreatedAt.Before(before), m.name)
		require.Equal(t, 24*time.Hour, reply.ExpiresAt.Sub(reply.CreatedAt))
	}
	// A reply expires while a transaction is open.
	require.NoError(t, pgx.BeginFunc(t.Context(), f.pool, func(tx pgx.Tx) error {
		before, err := later(t.Context(), tx)
		require.NoError(t, err)
		exec(t, "UPDATE "+f.table()+" SET created_at = created_at - interval '1 day', expires_at = clock_timestamp() WHERE key = 'Do'")
		_, err = f.store.GetTx(t.Context(), tx, f.scope, "Do")
		require.ErrorIs(t, err, idemtx.ErrNotFound)
		r := f.request("Do")
		r.TTL = time.Hour
		reply, err := idemtx.DoTx(t.Context(), f.store, tx, r, f.handler("again"))
		require.NoError(t, err)
		require.False(t, reply.Replayed)
		require.False(t, reply.CreatedAt.Before(before))

		exec(t, "UPDATE "+f.table()+" SET created_at = created_at - interval '1 day', expires_at = clock_timestamp() WHERE key = 'DoTx'")
		stored, err := f.store.PutTx(t.Context(), tx, f.scope, "DoTx", idemtx.Entry{Response: []byte("1")})
		require.NoError(t, err)
		require.True(t, stored)
		entry, err := f.store.GetTx(t.Context(), tx, f.scope, "DoTx")
		require.NoError(t, err)
		require.False(t, entry.CreatedAt.Before(before))
		return nil
	}))
	require.Equal(t, 1, f.effects("again"))
}

// Two scopes that are joined into one string by a character which may occur in
// their parts are one scope, and one caller gets the other's replies.
func TestDefectAmbiguousScope(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	seen := map[int64]bool{}
	for _, parts := range [][]string{
		{"a", "b:session:c"},
		{"a:session:b", "c"},
		{"a", "b", "c"},
		{"a:b", "c"},
		{"a", "b:c"},
		{"", "a", "b:c"},
		{"", "a:b:c"},
		{"", "a", "b"},
		{"a", "b"},
		{"", "b"},
		{"", "a"},
		{"A", "b"},
		{"a ", "b"},
		{"a", "b "},
	} {
		sc, err := scope.New(parts[0], parts[1], parts[2:]...)
		require.NoError(t, err)
		for _, m := range modes {
			r := f.request("k")
			r.Scope = sc
			reply, err := m.do(t.Context(), f, r, effect(f, "k"))
			require.NoError(t, err)
			require.Equal(t, m.name != modes[0].name, reply.Replayed, parts)
			require.Equal(t, reply.Replayed, seen[reply.Value.Number], parts)
			seen[reply.Value.Number] = true
		}
	}
}

// A key that is used for another operation, or by another account, must not get
// the reply of the first.
func TestDefectReplayAcrossOperations(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, first := range modes {
		key := string(first.name)
		_, err := first.do(t.Context(), f, f.request(key), effect(f, key))
		require.NoError(t, err)
		for _, m := range modes {
			r := f.request(key)
			r.Operation = "POST /order" // and an s: where it ends is part of it
			_, err = m.do(t.Context(), f, r, mustNotRun(t))
			require.ErrorIs(t, err, idemtx.ErrMismatch)
		}
		r := f.request(key)
		r.Scope, err = scope.New("tenant", "principal", "account")
		require.NoError(t, err)
		reply, err := first.do(t.Context(), f, r, effect(f, key))
		require.NoError(t, err)
		require.False(t, reply.Replayed)
	}
}

// A table of the same name that is found first, in the search_path or among the
// temporary ones, holds the replies of one connection only.
func TestDefectShadowedTable(t *testing.T) {
	t.Parallel()
	shadow := newSchema(t)
	exec(t, "CREATE TABLE "+shadow+".idemtx_replies (nothing int)")
	shadowed := func(p *pgxpool.Config, _ *idemtx.Config) {
		p.ConnConfig.RuntimeParams["search_path"] = "pg_temp, " + shadow
		p.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, "CREATE TEMP TABLE idemtx_replies (nothing int)")
			return err
		}
	}
	for _, mode := range execModes {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, shadowed, withExecMode(mode))
			for _, m := range modes {
				key := string(m.name)
				for range 2 {
					_, err := m.do(t.Context(), f, f.request(key), effect(f, key))
					require.NoError(t, err)
					f.expire(key)
				}
				require.Equal(t, 2, f.effects(key))
				require.Equal(t, 1, f.rows(key))
			}
			stored, err := f.store.Put(t.Context(), f.scope, "put", idemtx.Entry{Response: []byte("1")})
			require.NoError(t, err)
			require.True(t, stored)
			_, err = f.store.Get(t.Context(), f.scope, "put")
			require.NoError(t, err)
			n, err := f.store.DeleteExpired(t.Context(), 100)
			require.NoError(t, err)
			require.EqualValues(t, len(modes), n)
			require.Zero(t, ask[int](t, "SELECT count(*) FROM "+shadow+".idemtx_replies"))
		})
	}
}
