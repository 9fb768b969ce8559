package history

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/internal/pgwire"
)

// process is what a process of its own would have: a pool, and a store with its
// line of callers. Its connections break.
type process struct {
	round *round
	pool  *pgxpool.Pool
	store *idemtx.Store

	mu   sync.Mutex
	dice *rand.Rand // for the fate of each trip
}

var execModes = []pgx.QueryExecMode{
	pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
	pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
}

// settings are how a process is configured.
type settings struct {
	maxWait     time.Duration
	maxAttempts int
	maxConns    int
	isolation   pgx.TxIsoLevel // of Do
	execMode    pgx.QueryExecMode
}

func drawSettings(d *rand.Rand) settings {
	return settings{
		maxWait:     pick(d, []int{1, 2, 2}, 20*time.Millisecond, 100*time.Millisecond, 400*time.Millisecond),
		maxAttempts: 1 + d.IntN(maxAttempts),
		maxConns:    2 + d.IntN(6),
		isolation:   isolations[d.IntN(len(isolations))],
		execMode:    execModes[d.IntN(len(execModes))],
	}
}

// newProcess makes a process whose connections meet what d throws.
func (r *round) newProcess(with settings, d *rand.Rand) *process {
	r.t.Helper()
	p := &process{round: r, dice: d}
	config, err := pgxpool.ParseConfig(r.url)
	require.NoError(r.t, err)
	config.MaxConns = int32(with.maxConns)
	config.ConnConfig.DefaultQueryExecMode = with.execMode
	config.ConnConfig.RuntimeParams["application_name"] = clientName
	config.ConnConfig.RuntimeParams["search_path"] = r.searchPath
	if r.faults {
		pgwire.Inject(&config.ConnConfig.Config, p.judge)
	}
	p.pool, err = pgxpool.NewWithConfig(context.Background(), config)
	require.NoError(r.t, err)
	p.store, err = idemtx.New(p.pool, retaining(r.retains, idemtx.Config{
		Schema: "history", Lease: r.lease(), MaxWait: with.maxWait, MaxAttempts: with.maxAttempts,
		TxOptions: pgx.TxOptions{IsoLevel: with.isolation},
	}))
	require.NoError(r.t, err)
	return p
}

// retaining has a store keep the keys of replies that have expired, or not.
func retaining(is bool, c idemtx.Config) idemtx.Config {
	if is {
		c.OnExpired, c.Retention = idemtx.RefuseExpired, time.Hour // not over but when the nemesis says so
	}
	return c
}

// lease is how long a claim holds.
func (r *round) lease() time.Duration {
	if r.lapses {
		return time.Second
	}
	return time.Hour // never over but when the nemesis says so
}

// judge decides what becomes of a trip. Those that end with COMMIT are in the most
// danger, since only they can leave a doubt. A late one is the worst: the server
// begins with it when its client has long gone on.
func (p *process) judge(trip *pgwire.Trip) pgwire.Fate {
	danger := 2
	if trip.Commits() {
		danger = 16
	}
	p.mu.Lock()
	n := p.dice.IntN(100)
	way := p.dice.IntN(5)
	delay := time.Duration(p.dice.IntN(300)) * time.Millisecond
	p.mu.Unlock()
	if n >= danger {
		return pgwire.Deliver
	}
	switch way {
	case 0:
		p.round.count("fault: trip dropped")
		return pgwire.Drop
	case 1:
		p.round.count("fault: trip swallowed")
		return pgwire.Swallow
	case 2:
		p.round.count("fault: trip abandoned")
		p.round.strays(trip)
		return pgwire.Abandon
	case 3:
		p.round.count("fault: trip late")
		p.round.strays(trip)
		freeze(int(trip.Backend), delay)
		return pgwire.Abandon
	}
	p.round.terminate(trip.Backend)
	return pgwire.Deliver
}
