package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// mode is how an order is made to happen once.
type mode string

const (
	coTransaction mode = "co-transaction"
	poolMode      mode = "pool mode"
)

// path is where the service takes orders in that mode.
func (m mode) path() string {
	if m == poolMode {
		return poolPath
	}
	return "/orders"
}

// scenario is one order that is sent several times.
type scenario struct {
	mode  mode
	story string
	crash crash
	want  counts
}

// scenarios are the same three stories in both modes. In the last one the counts
// differ, and that is what this program is about.
var scenarios = []scenario{
	{
		coTransaction, "100 times at once", noCrash,
		counts{sent: 100, orders: 1, mails: 1, replies: 100, agree: 100, replayed: 99},
	},
	{
		coTransaction, "killed between its write and its commit", afterWrite,
		counts{sent: 3, survived: 0, orders: 1, mails: 1, replies: 2, agree: 2, replayed: 1},
	},
	{
		coTransaction, "killed between its commit and its answer", afterCommit,
		counts{sent: 3, survived: 1, orders: 1, mails: 1, replies: 2, agree: 2, replayed: 2},
	},
	{
		poolMode, "100 times at once", noCrash,
		counts{sent: 100, orders: 1, mails: 1, replies: 100, agree: 100, replayed: 99},
	},
	{
		poolMode, "killed between its write and its commit", afterWrite,
		counts{sent: 3, survived: 0, orders: 1, mails: 1, replies: 2, agree: 2, replayed: 1},
	},
	{
		poolMode, "killed between its commit and its answer", afterCommit,
		counts{sent: 3, survived: 1, orders: 2, mails: 1, replies: 2, agree: 2, replayed: 1},
	},
}

// result is what came of a scenario.
type result struct {
	scenario
	got counts
}

// counts are of one scenario.
type counts struct {
	sent     int // requests
	survived int // orders that were there after the crash, before the retry
	orders   int // that exist in the end
	taken    int // from the stock; one for each order
	mails    int // that the provider has sent; one for each request, also where it was placed twice
	replies  int // that came
	agree    int // of these, with the first one, byte for byte
	replayed int // of these, that say so
}

// differences tells in words what of got is not as in c.
func (c counts) differences(got counts) []string {
	c.taken = c.orders
	var list []string
	for _, count := range []struct {
		what      string
		want, got int
	}{
		{"requests sent", c.sent, got.sent},
		{"orders after the crash", c.survived, got.survived},
		{"orders that exist", c.orders, got.orders},
		{"taken from the stock", c.taken, got.taken},
		{"mails sent", c.mails, got.mails},
		{"replies that came", c.replies, got.replies},
		{"replies that agree", c.agree, got.agree},
		{"replies marked as replayed", c.replayed, got.replayed},
	} {
		if count.got != count.want {
			list = append(list, fmt.Sprintf("%s: %d, expected %d", count.what, count.got, count.want))
		}
	}
	return list
}

// demoSKU is what the demo orders.
const demoSKU = "lamp"

// atOnce is how often an order is sent at once, shared between two processes of
// the service.
const atOnce = 100

// run plays the scenario.
func (s scenario) run(ctx context.Context, db *database) (got counts, err error) {
	before, err := db.ledger.available(ctx, db.pool, demoSKU)
	if err != nil {
		return got, err
	}
	var replies []reply
	if s.crash == noCrash {
		replies, err = s.flood(ctx, db, &got)
	} else {
		replies, err = s.killAndRetry(ctx, db, &got)
	}
	if err != nil {
		return got, err
	}
	got.countReplies(replies)
	if got.orders, err = s.orders(ctx, db); err != nil {
		return got, err
	}
	after, err := db.ledger.available(ctx, db.pool, demoSKU)
	if err != nil {
		return got, err
	}
	got.taken = before - after
	got.mails, err = s.mails(ctx, db)
	return got, err
}

// flood sends the order to two processes at once.
func (s scenario) flood(ctx context.Context, db *database, got *counts) (replies []reply, err error) {
	var processes [2]*process
	for i := range processes {
		if processes[i], err = startProcess(ctx, db, noCrash); err != nil {
			return nil, err
		}
		defer processes[i].stop()
	}
	replies = make([]reply, atOnce)
	errs := make([]error, atOnce)
	var all sync.WaitGroup
	for i := range atOnce {
		all.Go(func() { replies[i], errs[i] = s.send(ctx, processes[i%2]) })
	}
	all.Wait()
	got.sent = atOnce
	return replies, errors.Join(errs...)
}

// killAndRetry sends the order to a process that is killed by it, and twice to
// the next.
func (s scenario) killAndRetry(ctx context.Context, db *database, got *counts) (replies []reply, err error) {
	doomed, err := startProcess(ctx, db, s.crash)
	if err != nil {
		return nil, err
	}
	defer doomed.stop()
	if _, err := s.send(ctx, doomed); err == nil {
		return nil, errors.New("the process that was to be killed has answered")
	}
	if err := doomed.killed(ctx); err != nil {
		return nil, err
	}
	got.sent++
	if got.survived, err = s.orders(ctx, db); err != nil {
		return nil, err
	}

	next, err := startProcess(ctx, db, noCrash)
	if err != nil {
		return nil, err
	}
	defer next.stop()
	for range 2 {
		r, err := s.send(ctx, next)
		if err != nil {
			return nil, err
		}
		got.sent++
		replies = append(replies, r)
	}
	return replies, nil
}

// orders counts those of this scenario.
func (s scenario) orders(ctx context.Context, db *database) (n int, err error) {
	err = db.pool.QueryRow(ctx, `SELECT count(*) FROM `+db.ledger.schema+`.orders WHERE customer = $1`,
		s.customer()).Scan(&n)
	return n, err
}

// mails counts those of this scenario, when no job is left to be worked.
func (s scenario) mails(ctx context.Context, db *database) (n int, err error) {
	if err := db.emptyOutbox(ctx); err != nil {
		return 0, err
	}
	err = db.pool.QueryRow(ctx, `SELECT count(*) FROM `+db.ledger.schema+`.mails WHERE recipient = $1`,
		s.customer()).Scan(&n)
	return n, err
}
