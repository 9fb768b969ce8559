package main

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
)

// confirmer works the jobs of the outbox.
type confirmer struct {
	river.WorkerDefaults[confirmation]
	pool   *pgxpool.Pool
	ledger ledger
	mailer mailer
}

// Work sends the mail of one order. It may run more than once for a job, also at the
// same time: everything that it does must be as good done twice. It holds no
// transaction while it waits for the provider.
func (c *confirmer) Work(ctx context.Context, job *river.Job[confirmation]) error {
	o, err := c.ledger.get(ctx, c.pool, job.Args.Order)
	if err != nil {
		return err
	}
	err = c.mailer.send(ctx, job.Args.Key, confirm(o))
	if errors.Is(err, errMailRefused) {
		return river.JobCancel(err) // no attempt will do better
	}
	return err
}
