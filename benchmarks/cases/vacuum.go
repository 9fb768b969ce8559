package cases

import (
	"context"
	"fmt"
	"time"

	"github.com/idemtx/idemtx/benchmarks/ours"
)

// VacuumCase is the name of the case that compares settings of autovacuum.
const VacuumCase = "vacuum"

// Documented are the settings that docs/expiry-and-retention.md has for the table.
const Documented = `autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0.05`

const (
	vacuumRows = 1_000_000 // rows that are there at any time
	vacuumRate = 1_000     // rows that are added and swept in each second
)

// vacuum has two tables that are alike grow old side by side: the same rows come and
// go in both, the oldest first. One has the documented settings. All rows have expired,
// so that the sweeper takes as many as it is told to, and nobody waits for a TTL.
func vacuum(d time.Duration) Case {
	return Case{
		Name: VacuumCase,
		About: fmt.Sprintf("%d replies, to which %d are added in each second while the %d oldest are swept, "+
			"in two tables of one server at the same time", vacuumRows, vacuumRate, vacuumRate),
		Run: func(ctx context.Context, b *Bench) (Result, error) {
			growths := []Growth{{Name: "PostgreSQL's defaults"}, {Name: "the documented settings"}}
			var tables []*swept
			defer func() {
				for _, s := range tables {
					s.end()
				}
			}()
			for i := range growths {
				s, err := b.sweepable(ctx, vacuumRows/b.Shrink, 0)
				if err != nil {
					return Result{}, err
				}
				tables = append(tables, s)
				if i == 1 {
					if err := b.exec(ctx, "ALTER TABLE "+ours.Table(s.env)+" SET ("+Documented+")"); err != nil {
						return Result{}, err
					}
				}
			}
			return Result{Growths: growths}, age(ctx, tables, growths, d)
		},
	}
}

// age has rows come and go once a second.
func age(ctx context.Context, tables []*swept, growths []Growth, d time.Duration) error {
	start, told := time.Now(), -growEvery
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for n := int64(1); ; n++ {
		after := time.Since(start)
		for i, s := range tables {
			if err := s.turnOver(ctx, fmt.Sprintf("later %d-", n)); err != nil {
				return err
			}
			if after-told < growEvery && after < d {
				continue
			}
			size, err := s.size(ctx)
			if err != nil {
				return err
			}
			size.After, size.Requests = after, n*int64(vacuumRate)
			growths[i].Sizes = append(growths[i].Sizes, size)
		}
		if after-told >= growEvery {
			told = after
		}
		if after >= d {
			return nil
		}
		select {
		case <-second.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// turnOver adds rows that expire after all others, and sweeps as many.
func (s *swept) turnOver(ctx context.Context, prefix string) error {
	if err := ours.Fill(ctx, s.bench.Admin, s.env, s.payload, prefix, vacuumRate, "-1 minute"); err != nil {
		return err
	}
	return s.sweeping.SweepOnce(ctx, vacuumRate)
}
