package idemadmin

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/idemtx/idemtx/idemtx"
)

// Stats is what the table holds.
type Stats struct {
	Live      int64 // replies that are replayed, the refused ones among them
	Refused   int64 // of Live, those of handlers that refused
	InFlight  int64 // live claims of pool mode; the other modes have no row before they commit
	Abandoned int64 // claims whose lease has ended and that nobody has taken over, before they expire
	Expired   int64 // due for the sweeper, of whatever kind
	Retained  int64 // replies that the sweeper has taken away, and whose keys are still refused

	InTransaction int64 // transactions with a handler of the other modes at work, as their locks tell

	Lived         []Bucket  // live replies by age, the youngest first
	OldestExpired time.Time // when what is due the longest has expired; zero when nothing is due

	Bytes                  int64 // that live replies and their bodies take, where they may be compressed
	TableBytes, IndexBytes int64 // of all partitions, dead rows included

	Sealed map[string]int64 // live and sealed replies, by the id of their key
}

// Bucket counts the replies that are younger than UpTo, and no younger than that
// of the bucket before. The last one has all that are older, too.
type Bucket struct {
	UpTo time.Duration
	Rows int64
}

const day = 24 * time.Hour

var ages = []time.Duration{
	time.Minute, 10 * time.Minute, time.Hour, 6 * time.Hour, day, 7 * day, 30 * day, 366 * day,
}

// group is a line of sql/count.sql.
type group struct {
	Kind    string
	Age     int
	KeyID   *string `db:"key_id"` // nil of what is not sealed
	Rows    int64
	Bytes   int64
	Expired time.Time
}

// Count counts what is in the table. It reads all of it, and no more of a reply
// than its length.
func Count(ctx context.Context, s *idemtx.Store) (Stats, error) {
	st := Stats{Sealed: map[string]int64{}}
	seconds := make([]float64, len(ages))
	for i, upTo := range ages {
		seconds[i] = upTo.Seconds()
		st.Lived = append(st.Lived, Bucket{UpTo: upTo})
	}
	var groups []group
	if err := selectAll(ctx, s, &groups, "count", seconds); err != nil {
		return Stats{}, failed(ctx, s, "count the rows", err)
	}
	for _, g := range groups {
		st.add(g)
	}
	working := s.Pool().QueryRow(ctx, statement(s, "transactions"), pgx.QueryExecModeExec, table(s))
	if err := working.Scan(&st.InTransaction); err != nil {
		return Stats{}, failed(ctx, s, "count the transactions", err)
	}
	size := s.Pool().QueryRow(ctx, statement(s, "size"), pgx.QueryExecModeExec, table(s))
	if err := size.Scan(&st.TableBytes, &st.IndexBytes); err != nil {
		return Stats{}, failed(ctx, s, "measure the table", err)
	}
	return st, nil
}

func (st *Stats) add(g group) {
	switch g.Kind {
	case "in_flight":
		st.InFlight += g.Rows
	case "abandoned":
		st.Abandoned += g.Rows
	case "retained":
		st.Retained += g.Rows
	case "due":
		st.Expired += g.Rows
		if st.OldestExpired.IsZero() || g.Expired.Before(st.OldestExpired) {
			st.OldestExpired = g.Expired
		}
	case "refused":
		st.Refused += g.Rows
		st.live(g)
	default:
		st.live(g)
	}
}

func (st *Stats) live(g group) {
	st.Live += g.Rows
	st.Bytes += g.Bytes
	st.Lived[min(g.Age, len(ages)-1)].Rows += g.Rows
	if g.KeyID != nil {
		st.Sealed[*g.KeyID] += g.Rows
	}
}
