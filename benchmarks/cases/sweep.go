package cases

import (
	"context"
	"fmt"
	"time"

	"github.com/idemtx/idemtx/benchmarks/contender"
	"github.com/idemtx/idemtx/benchmarks/measure"
	"github.com/idemtx/idemtx/benchmarks/ours"
)

// SweepCase is the name of the case whose entrants Swept names.
const SweepCase = "sweep"

// Swept is the name of an entrant.
func Swept(o contender.Operation, while bool) string {
	if while {
		return fmt.Sprintf("Do, %s, while sweeping", o)
	}
	return fmt.Sprintf("Do, %s, not swept", o)
}

// toSweep is how many expired rows are removed. There are more by a quarter, so
// that the sweeper has work until the end of the last turn.
const toSweep = 1_000_000

// sweep serves from two tables that are alike, of which one is swept meanwhile
// until a million rows are gone.
func sweep() Case {
	return Case{
		Name:  SweepCase,
		About: "Do while the sweeper removes a million expired rows, compared with Do on a table like it that is not swept",
		Run: func(ctx context.Context, b *Bench) (Result, error) {
			n, live := toSweep/b.Shrink, toSweep/10/b.Shrink
			quiet, err := b.sweepable(ctx, n+n/4, live)
			if err != nil {
				return Result{}, err
			}
			defer quiet.end()
			swept, err := b.sweepable(ctx, n+n/4, live)
			if err != nil {
				return Result{}, err
			}
			defer swept.end()
			var entrants []measure.Entrant
			for _, o := range []contender.Operation{contender.First, contender.Replay} {
				clients := Usual(o).Clients
				calm := quiet.entrant(Swept(o, false), Swept(o, false), clients, quiet.turn(o, live))
				busy := swept.entrant(Swept(o, true), Swept(o, false), clients, swept.turn(o, live))
				entrants = append(entrants, calm, swept.whileSweeping(busy))
			}
			b.calm(ctx)
			series, err := measure.Rounds(ctx, 1000, b.Turn, entrants, func() bool {
				left, err := swept.expired(ctx)
				b.Log("  %d rows left to sweep", max(0, left-n/4))
				return err != nil || left <= n/4
			})
			return Result{Series: &series}, err
		},
	}
}

// sweepable is a table in which most has expired.
func (b *Bench) sweepable(ctx context.Context, expired, live int) (*swept, error) {
	s := &swept{}
	st, err := b.openSwept(ctx, s, time.Hour)
	if err != nil {
		return nil, err
	}
	s.stage = st
	err = st.fill(ctx, "live", live, "1 day")
	if err == nil {
		err = st.fill(ctx, "expired", expired, "-1 hour")
	}
	if err != nil {
		st.end()
		return nil, err
	}
	return s, nil
}

// turn is a first request or a replay of one of the live rows.
func (s *swept) turn(o contender.Operation, live int) func(context.Context, *measure.Recorder) {
	if o == contender.First {
		return s.once(o)
	}
	return s.known("live", live)
}

// swept is a stage with a sweeper.
type swept struct {
	*stage

	sweeping *ours.Sweeping
}

// openSwept opens Do on a store whose sweeper is at hand.
func (b *Bench) openSwept(ctx context.Context, s *swept, live time.Duration) (*stage, error) {
	return b.open(ctx, contender.Contender{
		Name: ours.Do, Kind: contender.Ours,
		Open: func(ctx context.Context, e contender.Env) (contender.Handle, func(), error) {
			sweeping, err := ours.OpenSweeping(ctx, e, live)
			if err != nil {
				return nil, nil, err
			}
			s.sweeping = sweeping
			return sweeping.Handle, sweeping.Close, nil
		},
	}, Usual(contender.First))
}

// whileSweeping has the sweeper work during the turns of an entrant.
func (s *swept) whileSweeping(e measure.Entrant) measure.Entrant {
	serve := e.Slice
	e.Slice = func(ctx context.Context, d time.Duration) measure.Slice {
		sweeping, cancel := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.sweeping.Sweep(sweeping, time.Second)
		}()
		slice := serve(ctx, d)
		cancel()
		<-done
		return slice
	}
	return e
}

// expired counts what is left for the sweeper.
func (s *swept) expired(ctx context.Context) (n int, err error) {
	err = s.bench.Admin.QueryRow(ctx,
		"SELECT count(*) FROM "+ours.Table(s.env)+" WHERE expires_at <= clock_timestamp()").Scan(&n)
	return n, err
}
