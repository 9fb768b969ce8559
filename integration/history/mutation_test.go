package history

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// withoutLocks takes the advisory locks away: other functions of their names stand
// before them in the search path, and always say yes.
func (s *server) withoutLocks() {
	s.t.Helper()
	s.exec(`CREATE SCHEMA unlocked;
		CREATE FUNCTION unlocked.pg_try_advisory_xact_lock(bigint) RETURNS boolean LANGUAGE sql AS 'SELECT true';
		CREATE FUNCTION unlocked.pg_try_advisory_xact_lock_shared(bigint) RETURNS boolean LANGUAGE sql AS 'SELECT true';
		CREATE FUNCTION unlocked.pg_advisory_xact_lock(bigint) RETURNS void LANGUAGE sql AS 'SELECT 1';
		CREATE FUNCTION unlocked.pg_advisory_xact_lock_shared(bigint) RETURNS void LANGUAGE sql AS 'SELECT 1'`)
	s.searchPath = "unlocked, pg_catalog"
}

func (s *server) withoutPrimaryKey() {
	s.t.Helper()
	s.exec("ALTER TABLE history.idemtx_replies DROP CONSTRAINT idemtx_replies_pkey")
}

// withoutLeases ends the lease of each claim as it begins, unknown to the history.
func (s *server) withoutLeases() {
	s.t.Helper()
	s.exec(`CREATE FUNCTION history.over() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN NEW.lease_until := clock_timestamp() - interval '1 second'; RETURN NEW; END $$;
		CREATE TRIGGER over BEFORE INSERT OR UPDATE ON history.idemtx_replies
		FOR EACH ROW WHEN (NEW.response IS NULL) EXECUTE FUNCTION history.over()`)
}

// TestCheckerBites takes away what protects a key, one thing after the other, and
// has two handlers run at once. Their history is a violation, and the checker says
// so. Only where the primary key is left to protect Do, DoBatch and DoTx, there is none.
func TestCheckerBites(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for seed, step := range []struct {
		mutate   func(*server)
		modes    [2]string
		violated bool
	}{
		{(*server).withoutLeases, [2]string{"DoPool", "DoPool"}, true},
		{(*server).withoutLocks, [2]string{"Do", "Do"}, false},
		{nil, [2]string{"Do", "DoTx"}, false},
		{nil, [2]string{"Do", "DoBatch"}, false},
		{nil, [2]string{"DoBatch", "DoBatch"}, false},
		{nil, [2]string{"DoTx", "DoTx"}, false},
		{(*server).withoutPrimaryKey, [2]string{"Do", "Do"}, true},
		{nil, [2]string{"Do", "DoTx"}, true},
		{nil, [2]string{"Do", "DoBatch"}, true},
		{nil, [2]string{"DoBatch", "DoBatch"}, true},
		{nil, [2]string{"DoTx", "DoTx"}, true},
	} {
		if step.mutate != nil {
			step.mutate(s)
		}
		r := newRound(t, s, uint64(seed))
		r.faults, r.lapses, r.meet = false, false, s.meeting(2)
		var all []*process
		var wg sync.WaitGroup
		for client, mode := range step.modes {
			p := r.newProcess(plain, nil)
			all = append(all, p)
			wg.Go(func() {
				p.perform(client, plan{
					mode: mode, duplicate: idemtx.Wait, timeout: patience, isolation: pgx.ReadCommitted,
					acts: []act{succeed}, commits: true,
				})
			})
		}
		wg.Wait()
		r.end(all)
		r.audit(r.keys[0])
		require.EqualValues(t, 2, r.runs.Load(), "step %d: the handlers do not meet", seed)
		var want []int
		if step.violated {
			want = []int{0}
		}
		require.Equal(t, want, r.check(), "step %d", seed)
	}
}

// plain are the settings under which nothing else protects a key: SERIALIZABLE
// would, of two that write it.
var plain = settings{
	maxWait: patience, maxAttempts: maxAttempts, maxConns: 4,
	isolation: pgx.ReadCommitted, execMode: pgx.QueryExecModeCacheStatement,
}

// A batch comes to a meeting in the server, by a lock that the test holds. The name is
// in full, as others of that name stand before it.
const (
	comeTogether = "SELECT pg_catalog.pg_advisory_xact_lock_shared($1::bigint)"
	meetingPoint = 1
)

// meeting is a point that the first n to come leave together.
func (s *server) meeting(n int) func(context.Context) {
	s.t.Helper()
	tx, err := s.admin.Begin(s.t.Context())
	require.NoError(s.t, err)
	_, err = tx.Exec(s.t.Context(), "SELECT pg_advisory_xact_lock($1::bigint)", meetingPoint)
	require.NoError(s.t, err)
	var come atomic.Int64
	all := make(chan struct{})
	go func() {
		defer close(all)
		defer tx.Rollback(context.WithoutCancel(s.t.Context())) //nolint:errcheck // it has done nothing
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for int(come.Load())+s.ask("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") < n {
			select {
			case <-tick.C:
			case <-s.t.Context().Done(): // they do not come
				return
			}
		}
	}()
	return func(ctx context.Context) {
		come.Add(1)
		select {
		case <-all:
		case <-ctx.Done(): // the others do not come
		}
	}
}
