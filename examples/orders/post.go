package main

import (
	"context"
	"errors"
	"time"
)

// post returns an outbox, and has its mails sent by the provider at url, or by a
// stand-in, until stop. Without work they are left to another process.
func (db *database) post(ctx context.Context, url string, work bool) (box outbox, stop func() error, err error) {
	stopWork, stopStandIn := nothing, nothing
	if url == "" {
		standIn, err := db.mails.start()
		if err != nil {
			return outbox{}, nil, err
		}
		url = db.mails.url
		stopStandIn = func() error { return shutDown(standIn) }
	}
	var worker *confirmer
	if work {
		worker = &confirmer{pool: db.pool, ledger: db.ledger, mailer: newMailer(url)}
	}
	box, err = newOutbox(db.pool, db.schema, worker)
	if err == nil && work {
		stopWork, err = box.start(ctx)
	}
	if err != nil {
		return outbox{}, nil, errors.Join(err, stopStandIn())
	}
	return box, func() error {
		err := stopWork() // first, because its last calls are to be answered
		return errors.Join(err, stopStandIn())
	}, nil
}

func nothing() error { return nil }

// emptyOutbox waits until every job has come to its end.
func (db *database) emptyOutbox(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("there are mails that nobody sends"))
	defer cancel()
	for look := time.NewTicker(20 * time.Millisecond); ; {
		var left int
		err := db.pool.QueryRow(ctx, `SELECT count(*) FROM `+db.ledger.schema+`.river_job WHERE finalized_at IS NULL`).Scan(&left)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil || left == 0:
			return err
		}
		<-look.C
	}
}
