package idemadmin

import (
	"context"
	"fmt"
	"time"

	"github.com/idemtx/idemtx/idemtx"
)

const (
	subjectVacuum = "vacuum"
	subjectIndex  = "index"
)

// manyDead is below what is worth a word, however few are alive.
const manyDead = 10_000

// vacuumed is a line of sql/vacuum.sql: a table with rows.
type vacuumed struct {
	Name       string // quoted
	Live, Dead int64
	Last       *time.Time
	Disabled   bool // autovacuum, for this table or for all
}

func examineVacuum(ctx context.Context, s *idemtx.Store) ([]Finding, error) {
	var parts []vacuumed
	if err := selectAll(ctx, s, &parts, "vacuum", table(s)); err != nil {
		return nil, err
	}
	var found []Finding
	var live, dead int64
	for _, p := range parts {
		live, dead = live+p.Live, dead+p.Dead
		if p.Disabled {
			found = append(found, Finding{
				LevelWarn, subjectVacuum, "autovacuum is off for " + p.Name + ": what is swept takes its place for ever",
				"ALTER TABLE " + p.Name + " RESET (autovacuum_enabled), or autovacuum = on in postgresql.conf",
			})
		}
		// By itself it comes when a fifth of the rows is dead.
		if p.Dead > manyDead && p.Dead > p.Live {
			found = append(found, Finding{
				LevelWarn, subjectVacuum, fmt.Sprintf("%s has %d dead rows beside %d live ones, and was vacuumed last %s",
					p.Name, p.Dead, p.Live, at(p.Last)),
				"VACUUM " + p.Name + "; when that does not help, an old transaction or a replication slot holds them " +
					"(pg_stat_activity.backend_xmin, pg_replication_slots.xmin)",
			})
		}
	}
	if found == nil && parts != nil {
		return ok(subjectVacuum, fmt.Sprintf("about %d live rows and %d dead ones", live, dead)), nil
	}
	return found, nil
}

func at(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return "at " + t.UTC().Format(time.DateTime) + " UTC"
}

// An index is large when it takes this many times as much as its entries do in pages
// that are two thirds full, which is how random keys leave them. Small ones are not
// worth a word.
const (
	largeIndex  = 4
	indexOfNote = 1 << 20
)

// indexSize is a line of sql/indexes.sql.
type indexSize struct {
	Name    string // quoted
	Bytes   int64
	Rows    float64 // an estimate; below zero when the table was never analyzed
	PerRow  float64 // what an entry needs, by the statistics
	Unknown bool    // there are no statistics, or the role may not see them
}

func examineIndexes(ctx context.Context, s *idemtx.Store) ([]Finding, error) {
	var indexes []indexSize
	if err := selectAll(ctx, s, &indexes, "indexes", table(s)); err != nil {
		return nil, err
	}
	var found []Finding
	known := true
	for _, x := range indexes {
		switch need := x.PerRow * max(x.Rows, 1) * 3 / 2; {
		case x.Bytes < indexOfNote:
		case x.Unknown || x.Rows < 0:
			known = false
		case float64(x.Bytes) > largeIndex*need:
			found = append(found, Finding{
				LevelWarn, subjectIndex, fmt.Sprintf("%s has %d bytes, about %.0f times what its %.0f rows need", x.Name, x.Bytes,
					float64(x.Bytes)/need, max(x.Rows, 0)),
				"REINDEX INDEX CONCURRENTLY " + x.Name,
			})
		}
	}
	switch {
	case found != nil || indexes == nil:
		return found, nil
	case !known:
		return []Finding{{
			LevelOK, subjectIndex, "whether the indexes are larger than need be cannot be known: there are no statistics",
			"ANALYZE " + table(s),
		}}, nil
	}
	return ok(subjectIndex, "none is much larger than its rows need"), nil
}
