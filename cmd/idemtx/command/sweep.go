package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/idemtx/idemtx/idemadmin"
	"github.com/idemtx/idemtx/idemtx"
)

// sweeping is one run of the command sweep.
type sweeping struct {
	batch  int
	max    int64
	pause  time.Duration
	dryRun bool

	store    *idemtx.Store
	swept    int64 // rows deleted, and those that have lost their reply
	buried   int64 // of swept, the latter
	progress progress
}

// swept is what is told at the end.
type swept struct {
	Deleted     int64  `json:"deleted"`
	Buried      int64  `json:"buried"`
	Left        *int64 `json:"left"` // null when they could not be counted in time
	Interrupted bool   `json:"interrupted"`
}

func (p *Program) sweep() *cobra.Command {
	w := &sweeping{}
	c := &cobra.Command{
		Use: "sweep", Short: "Deletes what has expired, in batches", Args: noArguments,
		Long: "Deletes what has expired, the oldest first, each batch in a transaction of its own. Of a key that is retained only\n" +
			"the reply goes. It may run beside other sweepers. After a Ctrl-C it ends behind the batch: what is done stays done,\n" +
			"the exit code is 1 if anything is left, and the next run goes on from there.",
		RunE: runs(func(ctx context.Context, _ []string) error { return p.sweepAll(ctx, w) }),
	}
	f := c.Flags()
	f.IntVar(&w.batch, "batch", 1000, "rows in a transaction, from 1 to 100000")
	f.Int64Var(&w.max, "max", 0, "delete no more rows than this; 0 is all")
	f.DurationVar(&w.pause, "pause", 50*time.Millisecond, "how long to rest between two batches, for the sake of requests")
	f.BoolVar(&w.dryRun, "dry-run", false, "delete nothing, and tell how many rows are due")
	return c
}

func (p *Program) sweepAll(ctx context.Context, w *sweeping) error {
	if w.batch < 1 || w.batch > 100_000 {
		return misuse("--batch must be from 1 to 100000")
	}
	if w.max < 0 || w.pause < 0 {
		return misuse("--max and --pause may not be negative")
	}
	s, closePool, err := p.open(func(c *idemtx.Config) { c.Tracer = burials{w} })
	if err != nil {
		return err
	}
	defer closePool()
	w.store = s
	due, err := p.due(ctx, s)
	switch {
	case err != nil && (w.dryRun || !errors.Is(err, errLate)):
		return err
	case w.dryRun:
		return p.printDue(due)
	case err != nil:
		fmt.Fprintln(p.Err, "there is too much to be counted in time, and it is swept all the same")
	}
	total := due
	if w.max > 0 {
		total = min(due, w.max)
	}
	w.progress = p.newProgress(total)
	err = p.batches(ctx, w)
	w.progress.end(err == nil && ctx.Err() == nil)
	if err != nil {
		return p.failed(w, err)
	}
	return p.printSwept(ctx, w)
}

// batches sweeps until nothing is due, or enough is done, or ctx has ended.
func (p *Program) batches(ctx context.Context, w *sweeping) error {
	for ctx.Err() == nil {
		limit := w.batch
		if w.max > 0 {
			limit = int(min(int64(limit), w.max-w.swept))
			if limit == 0 {
				return nil
			}
		}
		n, err := p.oneBatch(ctx, w, limit)
		if err != nil {
			return err
		}
		w.swept += n
		w.progress.add(n)
		if n < int64(limit) {
			return nil
		}
		rest(ctx, w.pause)
	}
	return nil
}

// oneBatch is not broken off by a Ctrl-C: it would be undone, and over as soon.
func (p *Program) oneBatch(ctx context.Context, w *sweeping, limit int) (n int64, err error) {
	err = p.question(context.WithoutCancel(ctx), func(ctx context.Context) error {
		n, err = w.store.DeleteExpired(ctx, limit)
		return err
	})
	return n, err
}

func (p *Program) due(ctx context.Context, s *idemtx.Store) (n int64, err error) {
	err = p.question(ctx, func(ctx context.Context) error {
		n, err = idemadmin.Due(ctx, s)
		return err
	})
	return n, err
}

func rest(ctx context.Context, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (p *Program) printDue(due int64) error {
	if p.flags.json {
		return p.printJSON(struct {
			Due int64 `json:"due"`
		}{due})
	}
	_, err := fmt.Fprintf(p.Out, "%d rows are due; nothing is deleted\n", due)
	return err
}

func (p *Program) printSwept(ctx context.Context, w *sweeping) error {
	r := swept{Deleted: w.swept - w.buried, Buried: w.buried, Interrupted: ctx.Err() != nil}
	left, err := p.due(context.WithoutCancel(ctx), w.store)
	switch {
	case err == nil:
		r.Left = &left
	case !errors.Is(err, errLate):
		return p.failed(w, err)
	}
	if p.flags.json {
		err = p.printJSON(r)
	} else {
		text := fmt.Sprintf("%d rows deleted", r.Deleted)
		if r.Buried > 0 {
			text += fmt.Sprintf(", %d retained without their reply", r.Buried)
		}
		if r.Interrupted {
			text = "interrupted: " + text
		}
		if r.Left == nil {
			text += ", more than can be counted in time"
		} else {
			text += fmt.Sprintf(", %d", *r.Left)
		}
		_, err = fmt.Fprintln(p.Out, text+" left")
	}
	if err == nil && r.Interrupted && (r.Left == nil || *r.Left > 0) {
		return errFound
	}
	return err
}

// failed tells what was done before an error.
func (p *Program) failed(w *sweeping, err error) error {
	fmt.Fprintf(p.Err, "%d rows were swept, and stay so\n", w.swept)
	return err
}

// burials hears how many rows of a batch have lost their reply and no more.
type burials struct{ w *sweeping }

func (b burials) TraceStart(ctx context.Context, _ idemtx.TraceStartData) context.Context { return ctx }

func (b burials) TraceEnd(context.Context, idemtx.TraceEndData) {}

func (b burials) TraceSweep(_ context.Context, data idemtx.TraceSweepData) { b.w.buried += data.Buried }
