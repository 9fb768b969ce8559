package libraries

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"

	"github.com/idemtx/idemtx/benchmarks/contender"
)

// riverQueue is a job that is unique by its key, completed with its output in the
// transaction of its effect.
//
// River is a queue and not made to be waited for. A worker here hands its reply
// to the waiting caller in memory, which spares the caller a query, and new
// jobs are looked for as often as River allows.
func riverQueue() contender.Contender {
	return contender.Contender{
		Name: "River",
		Kind: contender.Peer,
		About: "river v0.51.2, a job queue: unique job, RecordOutput, JobCompleteTx: 3 commits, 9 statements (replay: 1, 5); " +
			"atomic, worked again after a crash",
		Open: openRiver,
	}
}

// orderArgs are the arguments of a job. The key alone makes it unique, so a job
// has the caller that came first.
type orderArgs struct {
	Key     string          `json:"key"     river:"unique"`
	Caller  int64           `json:"caller"`
	Payload json.RawMessage `json:"payload"`
}

func (orderArgs) Kind() string { return "order" }

func (orderArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{UniqueOpts: river.UniqueOpts{ByArgs: true}}
}

func openRiver(ctx context.Context, e contender.Env) (contender.Handle, func(), error) {
	// River's connection for notifications is no longer the pool's.
	pool, err := e.Pool(ctx)
	if err != nil {
		return nil, nil, err
	}
	worker := &orderWorker{Env: e, pool: pool, effect: e.Effect()}
	client, err := startRiver(ctx, pool, worker, e)
	if err != nil {
		pool.Close()
		return nil, nil, err
	}
	shut := func() {
		_ = client.StopAndCancel(context.Background())
		pool.Close()
	}
	return worker.handle(client), shut, nil
}

func startRiver(ctx context.Context, pool *pgxpool.Pool, worker *orderWorker, e contender.Env) (*river.Client[pgx.Tx], error) {
	driver := riverpgxv5.New(pool)
	quiet := slog.New(slog.DiscardHandler)
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Schema: e.Schema, Logger: quiet})
	if err != nil {
		return nil, err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return nil, err
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, worker)
	client, err := river.NewClient(driver, &river.Config{
		Schema:            e.Schema,
		Logger:            quiet,
		Workers:           workers,
		Queues:            map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: int(e.MaxConns)}},
		FetchCooldown:     river.FetchCooldownMin,
		FetchPollInterval: 10 * time.Millisecond, // finds what came within a cooldown, which is not notified
	})
	if err != nil {
		return nil, err
	}
	return client, client.Start(context.WithoutCancel(ctx))
}

// orderWorker does the effects, and tells those who wait for them.
type orderWorker struct {
	river.WorkerDefaults[orderArgs]
	contender.Env

	pool    *pgxpool.Pool
	effect  string
	callers atomic.Int64
	waiting sync.Map // from a caller to its channel
}

// outcome is what a caller waits for.
type outcome struct {
	body []byte
	err  error
}

func (w *orderWorker) Work(ctx context.Context, job *river.Job[orderArgs]) error {
	var done outcome
	done.err = pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) (err error) {
		done.body, err = w.complete(ctx, tx, job)
		return err
	})
	// The caller hears of the first attempt, also when River goes on to a second.
	if caller, ok := w.waiting.LoadAndDelete(job.Args.Caller); ok {
		caller.(chan outcome) <- done
	}
	return done.err
}

// complete does the effect. The output is a string, because River keeps it as
// jsonb, which would not give the same bytes back.
func (w *orderWorker) complete(ctx context.Context, tx pgx.Tx, job *river.Job[orderArgs]) ([]byte, error) {
	var id int64
	if err := tx.QueryRow(ctx, w.effect, job.Args.Key).Scan(&id); err != nil {
		return nil, err
	}
	body := w.ReplyTo(id)
	if err := river.RecordOutput(ctx, string(body)); err != nil {
		return nil, err
	}
	_, err := river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx, job)
	return body, err
}

func (w *orderWorker) handle(client *river.Client[pgx.Tx]) contender.Handle {
	return func(ctx context.Context, r contender.Request) ([]byte, bool, error) {
		// Ready before the job is there, or it might be done before anybody waits.
		done := make(chan outcome, 1)
		caller := w.callers.Add(1)
		w.waiting.Store(caller, done)
		defer w.waiting.Delete(caller)

		inserted, err := client.Insert(ctx, orderArgs{r.Key, caller, r.Payload}, nil)
		if err != nil {
			return nil, false, err
		}
		if inserted.UniqueSkippedAsDuplicate {
			body, err := output(ctx, client, inserted.Job)
			return body, true, err
		}
		select {
		case o := <-done:
			return o.body, false, o.err
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
}

// output reads the reply of a job, and polls while another call's job runs.
func output(ctx context.Context, client *river.Client[pgx.Tx], job *rivertype.JobRow) ([]byte, error) {
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for job.State != rivertype.JobStateCompleted {
		select {
		case <-poll.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		var err error
		if job, err = client.JobGet(ctx, job.ID); err != nil {
			return nil, err
		}
	}
	var body string
	if err := json.Unmarshal(job.Output(), &body); err != nil {
		return nil, fmt.Errorf("output of job %d: %w", job.ID, err)
	}
	return []byte(body), nil
}
