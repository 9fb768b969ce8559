package integration

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// expired adds n replies that have expired, "1" the longest ago and n the last. They
// do not lie in the table in that order.
func expired(f *fixture, n int) {
	f.t.Helper()
	exec(f.t, fmt.Sprintf(`INSERT INTO %s (scope, key, fingerprint, response, created_at, expires_at)
		SELECT 'principal', i::text, sha256('x'), '{}', now() - interval '3 days', now() - interval '2 days' + i * interval '1 second'
		FROM generate_series(1, %d) AS i ORDER BY md5(i::text)`, f.table(), n))
}

func (f *fixture) keys() []string {
	f.t.Helper()
	return ask[[]string](f.t, "SELECT coalesce(array_agg(key ORDER BY expires_at), '{}') FROM "+f.table())
}

// planned makes a server choose the plans it would choose for other tables.
func planned(without ...string) option {
	return func(p *pgxpool.Config, _ *idemtx.Config) {
		p.ConnConfig.RuntimeParams["jit"] = "off" // which plans that are avoided seem to deserve
		for _, setting := range without {
			p.ConnConfig.RuntimeParams["enable_"+setting] = "off"
		}
	}
}

// One batch is the oldest rows, and no more of them than was asked for, whatever
// the plan.
func TestDeleteExpiredIsOldestFirst(t *testing.T) {
	t.Parallel()
	for _, without := range [][]string{
		{},
		{"hashjoin", "hashagg"},
		{"hashjoin", "mergejoin", "hashagg", "sort"},
		{"hashjoin", "mergejoin", "material"},
		{"hashjoin", "mergejoin", "material", "hashagg", "sort"},
		{"nestloop"},
		{"seqscan", "nestloop"},
	} {
		for _, analyzed := range []bool{false, true} {
			for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeSimpleProtocol} {
				t.Run(strings.Join(without, ",")+" "+mode.String(), func(t *testing.T) {
					t.Parallel()
					f := newFixture(t, planned(without...), withExecMode(mode))
					expired(f, 10)
					if analyzed {
						exec(t, "ANALYZE "+f.table())
					}
					for _, batch := range []struct{ limit, deleted, left int }{{1, 1, 9}, {3, 3, 6}, {5, 5, 1}, {100_000, 1, 0}, {1, 0, 0}} {
						n, err := f.store.DeleteExpired(t.Context(), batch.limit)
						require.NoError(t, err)
						require.EqualValues(t, batch.deleted, n)
						keys := f.keys()
						require.Len(t, keys, batch.left)
						if batch.left > 0 {
							require.Equal(t, fmt.Sprint(10-batch.left+1), keys[0])
						}
					}
				})
			}
		}
	}
}

func TestDeleteExpiredKnowsWhatIsLive(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	add := func(key, response, expires, lease string) {
		exec(t, "INSERT INTO "+f.table()+" (scope, key, fingerprint, response, created_at, expires_at, lease_until, lease_id)"+
			" SELECT 'principal', '"+key+"', sha256('x'), "+response+", now() - interval '1 day', now() + "+expires+", now() + "+lease+
			", CASE WHEN "+lease+" IS NOT NULL THEN gen_random_uuid() END")
	}
	const past, future, none = "interval '-1 second'", "interval '1 hour'", "NULL::interval"
	add("live reply", "'{}'", future, none)
	add("dead reply", "'{}'", past, none)
	add("null reply", "'null'", past, none)
	add("live claim", "NULL", future, future)
	add("live claim that runs long", "NULL", past, future)
	add("dead claim", "NULL", past, past)
	add("claim whose lease has lapsed", "NULL", future, past)
	// Somebody else's, with the same key.
	exec(t, "INSERT INTO "+f.table()+" (scope, key, fingerprint, response, created_at, expires_at)"+
		" SELECT 'somebody else', key, sha256('x'), '{}', now(), now() + interval '2 hours' FROM "+f.table()+" WHERE key = 'dead reply'")
	n, err := f.store.DeleteExpired(t.Context(), 100)
	require.NoError(t, err)
	require.EqualValues(t, 3, n)
	require.ElementsMatch(t, []string{
		"live reply", "live claim", "live claim that runs long", "claim whose lease has lapsed", "dead reply",
	}, f.keys())
	require.Equal(t, "somebody else", ask[string](t, "SELECT scope FROM "+f.table()+" WHERE key = 'dead reply'"))
}

// A row that another transaction has locked is left to it, and not waited for.
func TestDeleteExpiredDoesNotWait(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withSetting("lock_timeout", "1min"))
	expired(f, 5)
	tx := transaction(f)
	_, err := tx.Exec(t.Context(), "SELECT FROM "+f.table()+" WHERE key IN ('1', '4') FOR UPDATE")
	require.NoError(t, err)
	n, err := f.store.DeleteExpired(t.Context(), 2)
	require.NoError(t, err)
	require.EqualValues(t, 2, n)
	require.Equal(t, []string{"1", "4", "5"}, f.keys())
	n, err = f.store.DeleteExpired(t.Context(), 2)
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	require.NoError(t, tx.Rollback(t.Context()))
	n, err = f.store.DeleteExpired(t.Context(), 100)
	require.NoError(t, err)
	require.EqualValues(t, 2, n)
}

// Do:      has removed the expired row, and written its own
// sweeper: does not wait
// Do:      commits
// sweeper: leaves the new row alone
func TestDeleteExpiredBesideAReplacement(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, err := modes[0].do(t.Context(), f, f.request("k"), effect(f, "k"))
	require.NoError(t, err)
	f.expire("k")
	tx := transaction(f)
	reply, err := idemtx.DoTx(t.Context(), f.store, tx, f.request("k"), f.handler("k"))
	require.NoError(t, err)
	require.False(t, reply.Replayed)
	n, err := f.store.DeleteExpired(t.Context(), 100)
	require.NoError(t, err)
	require.Zero(t, n)
	require.NoError(t, tx.Commit(t.Context()))
	n, err = f.store.DeleteExpired(t.Context(), 100)
	require.NoError(t, err)
	require.Zero(t, n)
	again, err := modes[0].do(t.Context(), f, f.request("k"), mustNotRun(t))
	require.NoError(t, err)
	require.Equal(t, reply.Value, again.Value)
}

// Handlers run on expired keys while they are swept: every key is answered once.
func TestDeleteExpiredBesideRequests(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const keys = 20
	for i := range keys {
		_, err := modes[i%3].do(t.Context(), f, f.request(fmt.Sprint(i)), effect(f, "old"))
		require.NoError(t, err)
		f.expire(fmt.Sprint(i))
	}
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			key := fmt.Sprint(i)
			if _, err := modes[i%3].do(t.Context(), f, f.request(key), effect(f, key)); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if _, err := f.store.DeleteExpired(t.Context(), 3); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i := range keys {
		key := fmt.Sprint(i)
		require.Equal(t, 1, f.effects(key), key)
		require.Equal(t, 1, f.rows(key), key)
	}
	f.idle()
}

// Sweepers share the work: none waits, none fails, nothing is counted twice.
func TestManySweepers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const n = 500
	expired(f, n)
	var deleted atomic.Int64
	var wg sync.WaitGroup
	for _, p := range []*fixture{f, f.peer(), f.peer()} {
		for range 3 {
			wg.Go(func() {
				for {
					some, err := p.store.DeleteExpired(t.Context(), 7)
					if err != nil {
						t.Error(err)
						return
					}
					if some == 0 {
						return
					}
					deleted.Add(some)
				}
			})
		}
	}
	wg.Wait()
	// What one had locked when the last one looked is deleted by that one.
	require.EqualValues(t, n, deleted.Load())
	require.Empty(t, f.keys())
}

func TestLimitsOfTheSweep(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, limit := range []int{-1, 0, 100_001} {
		_, err := f.store.DeleteExpired(t.Context(), limit)
		require.ErrorIs(t, err, idemtx.ErrInvalidRequest)
	}
	for _, limit := range []int{1, 100_000} {
		_, err := f.store.DeleteExpired(t.Context(), limit)
		require.NoError(t, err)
	}
	for _, every := range []time.Duration{-1, 0} {
		require.ErrorIs(t, f.store.RunSweeper(t.Context(), every), idemtx.ErrInvalidRequest)
	}
}

// The sweeper begins at once, deletes more than one batch, and ends with its
// context's error.
func TestRunSweeper(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	expired(f, 2500)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.store.RunSweeper(ctx, time.Hour) }()
	require.Eventually(t, func() bool { return len(f.keys()) == 0 }, patience, tick)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
	require.ErrorIs(t, f.store.RunSweeper(ctx, time.Hour), context.Canceled)
	f.idle()
}

// A round that fails is logged, without values, and the next one tries again.
func TestRunSweeperGoesOn(t *testing.T) {
	t.Parallel()
	log := new(journal)
	f := newFixture(t, withJournal(log))
	expired(f, 3)
	exec(t, `CREATE FUNCTION `+f.schema+`.guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			RAISE EXCEPTION 'not now' USING DETAIL = OLD.scope, HINT = OLD.scope, ERRCODE = '23503';
		END $$;
		CREATE TRIGGER guard BEFORE DELETE ON `+f.table()+` FOR EACH ROW EXECUTE FUNCTION `+f.schema+`.guard()`)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.store.RunSweeper(ctx, tick) }()
	require.Eventually(t, func() bool { return strings.Count(log.String(), "sweep failed") > 1 }, patience, tick)
	require.Len(t, f.keys(), 3)
	exec(t, "DROP TRIGGER guard ON "+f.table())
	require.Eventually(t, func() bool { return len(f.keys()) == 0 }, patience, tick)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
	require.Contains(t, log.String(), "23503")
	require.NotContains(t, log.String(), "principal")
}
