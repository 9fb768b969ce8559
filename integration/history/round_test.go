package history

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// patience is how long anything may take that has to end.
const patience = time.Minute

// round is a number of calls with keys of their own.
type round struct {
	*recorder
	*server
	t       *testing.T
	seed    uint64
	keys    []string
	lapses  bool                  // leases are short, and end by themselves
	retains bool                  // keys are retained when their reply has expired
	faults  bool                  // connections break
	meet    func(context.Context) // called by each handler that begins

	down     sync.RWMutex // held while the server is down
	runs     atomic.Int64
	returned sync.Map // the runs whose calls have returned
}

// play lets the clients make their calls, one after the other, while the nemesis
// strikes, about once for each call that has ended. All choices come from the
// seed: what each client does, what each trip of a process meets, what each strike
// is. In what order they come about is the machine's to say, so a seed repeats the
// choices of a round and not its history.
func (r *round) play() {
	r.t.Helper()
	const nemesisStream, processStream, clientStream = 1, 100, 200
	var all []*process
	var wg sync.WaitGroup
	progress := make(chan struct{}, processes*clients*calls)
	for i := range processes {
		thrown := dice(r.seed, processStream+i)
		p := r.newProcess(drawSettings(thrown), thrown)
		all = append(all, p)
		for j := range clients {
			client := i*clients + j
			d := dice(r.seed, clientStream+client)
			wg.Go(func() {
				for range calls {
					r.awaitServer()
					p.perform(client, drawPlan(d))
					progress <- struct{}{}
				}
			})
		}
	}
	go func() {
		wg.Wait()
		close(progress)
	}()
	d := dice(r.seed, nemesisStream)
	for range progress {
		r.strike(d)
	}
	r.end(all)
	for _, key := range r.keys {
		r.audit(key)
	}
}

func (r *round) awaitServer() {
	r.down.RLock()
	defer r.down.RUnlock()
}

// end waits until nothing is left of the calls: no connection, no transaction, no
// lock. When then the last backend has gone, it has done all that was sent to it,
// also by clients that had not waited for the answer.
func (r *round) end(all []*process) {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		for _, p := range all {
			if p.pool.Stat().AcquiredConns() > 0 {
				return false
			}
		}
		return r.ask(`SELECT count(*) FROM pg_stat_activity a LEFT JOIN pg_locks l ON l.pid = a.pid AND l.locktype = 'advisory'
			WHERE application_name = $1 AND (xact_start IS NOT NULL OR l.pid IS NOT NULL)`, clientName) == 0
	}, patience, 5*time.Millisecond, "seed %d: something of the calls is left", r.seed)
	for _, p := range all {
		p.pool.Close()
	}
	require.Eventually(r.t, func() bool {
		return r.ask(`SELECT count(*) FROM pg_stat_activity WHERE application_name = $1`, clientName) == 0
	}, patience, 5*time.Millisecond, "seed %d: a backend is left", r.seed)
	r.close()
}

// audit looks at what is there of a key, without the library.
func (r *round) audit(key string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	call := r.now()
	out := output{outcome: done}
	err := r.admin.QueryRow(ctx, `SELECT coalesce(array_agg(number ORDER BY number), '{}') FROM history.effects
		WHERE key = $1`, key).Scan(&out.effects)
	require.NoError(r.t, err)
	var response, fingerprint []byte
	var isRefused bool
	err = r.admin.QueryRow(ctx, `SELECT response, refused, fingerprint FROM history.idemtx_replies
		WHERE key = $1 AND response IS NOT NULL AND expires_at > clock_timestamp()`, key).
		Scan(&response, &isRefused, &fingerprint)
	if !errors.Is(err, pgx.ErrNoRows) {
		require.NoError(r.t, err)
		out.reply = r.stored(response, isRefused, fingerprint)
	}
	r.add(nemesis, key, call, input{kind: audit}, out)
}

func (r *round) nextRun() int64 { return r.runs.Add(1) }

// returns notes that a run will write no reply any more.
func (r *round) returns(number int64) { r.returned.Store(number, true) }

func (r *round) hasReturned(number int64) bool {
	_, is := r.returned.Load(number)
	return is
}
