package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/idemtx/idemtx/idemtx"
)

// outbox holds the mails that are still to be sent, as jobs of River in the schema of
// the orders.
//
// A handler must not send a mail itself. Nothing undoes a mail when its transaction
// is undone, and while it waits for the provider it holds the transaction, with its
// connection and what it has locked. So it writes down that there is a mail to
// send, in the same transaction: order, reply and job are there together, or
// none of them is. A worker sends the mail later.
//
// What is promised: River runs the job at least once, and again when its process has
// died or the call has failed, until it succeeds or has used up its attempts. All
// attempts of a job have one downstream key, with which the provider sends one mail.
type outbox struct {
	client *river.Client[pgx.Tx]
}

// confirmation is a job: to send the mail that confirms an order. It holds no more
// than is needed, because River keeps it for a day after it is done, and shows it to
// who looks at its tables. The recipient is read from the order when it is worked.
type confirmation struct {
	Order int64 `json:"order"`

	// Key is the downstream key of the order's request. The client's own key cannot
	// be computed from it, but it is a secret all the same: who has it can use it up
	// at the provider with another mail, and then this one is refused.
	Key string `json:"key"`
}

// Kind is stored with each job, and must stay as it is.
func (confirmation) Kind() string { return "order_confirmation" }

// enqueue writes down, in the transaction of an order, that its confirmation is to be
// sent. r is the order's request: whatever runs it again makes the same key.
func (b outbox) enqueue(ctx context.Context, tx pgx.Tx, r idemtx.Request, o placedOrder) error {
	key, err := idemtx.DownstreamKey(r, "confirmation mail")
	if err != nil {
		return err
	}
	_, err = b.client.InsertTx(ctx, tx, confirmation{Order: o.ID, Key: key}, nil)
	return err
}

const (
	// jobTimeout is more than a call may take, so that an attempt fails by the call's
	// own error.
	jobTimeout = 2 * mailTimeout

	// rescueAfter is when a job is taken from a worker that has died in it. If one
	// should only be slow, there are two calls for one mail, and the provider sends
	// one.
	rescueAfter = 4 * mailTimeout

	// softStop is how long a call that is under way may take when the process is to
	// end. It is cut off then, and its job is left to the next process at once.
	softStop = 5 * time.Second

	// lastWords is how long River may take to write down what has become of its jobs.
	// What it does not is left to be rescued.
	lastWords = 30 * time.Second
)

// newOutbox returns one whose jobs w works, or one that only takes jobs, without w.
func newOutbox(pool *pgxpool.Pool, schema string, w *confirmer) (outbox, error) {
	config := &river.Config{Schema: schema, Logger: riverLogger()}
	if w != nil {
		config.Workers = river.NewWorkers()
		river.AddWorker(config.Workers, w)
		config.Queues = map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 10}}
		config.JobTimeout = jobTimeout
		config.RescueStuckJobsAfter = rescueAfter
		config.SoftStopTimeout = softStop
	}
	client, err := river.NewClient(riverpgxv5.New(pool), config)
	return outbox{client}, err
}

// start has the jobs worked until stop, which waits for the calls under way.
func (b outbox) start(ctx context.Context) (stop func() error, err error) {
	// A Ctrl-C ends ctx: it would break off those calls.
	if err := b.client.Start(context.WithoutCancel(ctx)); err != nil {
		return nil, fmt.Errorf("the worker of the outbox does not start: %w", err)
	}
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), softStop+lastWords)
		defer cancel()
		if err := b.client.Stop(ctx); err != nil {
			return fmt.Errorf("the worker of the outbox does not stop: %w", err)
		}
		return nil
	}, nil
}

// migrateRiver makes River's tables, or brings them up to date.
func migrateRiver(ctx context.Context, pool *pgxpool.Pool, schema string) error {
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Schema: schema, Logger: riverLogger()})
	if err != nil {
		return err
	}
	_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	return err
}

// riverLogger tells of what goes wrong alone, and not on standard output.
func riverLogger() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}
