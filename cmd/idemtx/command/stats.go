package command

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/idemtx/idemtx/idemadmin"
	"github.com/idemtx/idemtx/idemtx"
)

// counts is what is told of the table. Durations are in seconds.
type counts struct {
	Live          int64            `json:"live"`
	Refused       int64            `json:"refused"`
	InFlight      int64            `json:"in_flight"`
	InTransaction int64            `json:"in_transaction"`
	Abandoned     int64            `json:"abandoned"`
	Expired       int64            `json:"expired"`
	Retained      int64            `json:"retained"`
	Ages          []age            `json:"ages"`
	OldestExpired *time.Time       `json:"oldest_expired,omitempty"`
	Bytes         int64            `json:"bytes"`
	TableBytes    int64            `json:"table_bytes"`
	IndexBytes    int64            `json:"index_bytes"`
	Sealed        map[string]int64 `json:"sealed"`
}

type age struct {
	UpTo float64 `json:"up_to_seconds"`
	Rows int64   `json:"rows"`
}

func (p *Program) stats() *cobra.Command {
	return &cobra.Command{
		Use: "stats", Short: "Counts what is in the table", Args: noArguments,
		Long: "Counts what is in the table, and reads all of it for that.",
		RunE: runs(p.asks(func(ctx context.Context, s *idemtx.Store, _ []string) error {
			st, err := idemadmin.Count(ctx, s)
			if err != nil {
				return err
			}
			if p.flags.json {
				return p.printJSON(countsOf(st))
			}
			return p.printStats(st)
		})),
	}
}

func countsOf(st idemadmin.Stats) counts {
	c := counts{
		Live: st.Live, Refused: st.Refused, InFlight: st.InFlight, InTransaction: st.InTransaction, Abandoned: st.Abandoned,
		Expired: st.Expired, Retained: st.Retained, OldestExpired: orNil(st.OldestExpired),
		Bytes: st.Bytes, TableBytes: st.TableBytes, IndexBytes: st.IndexBytes, Sealed: st.Sealed,
	}
	for _, b := range st.Lived {
		c.Ages = append(c.Ages, age{b.UpTo.Seconds(), b.Rows})
	}
	return c
}

func (p *Program) printStats(st idemadmin.Stats) error {
	list := []field{
		{"live", fmt.Sprintf("%d, of which refused %d", st.Live, st.Refused)},
		{"in flight", fmt.Sprintf("%d claimed, %d in transactions", st.InFlight, st.InTransaction)},
		{"abandoned", fmt.Sprintf("%d claimed, with the lease at its end", st.Abandoned)},
		{"expired", fmt.Sprintf("%d due for the sweeper", st.Expired)},
		{"the oldest", moment(st.OldestExpired)},
		{"retained", fmt.Sprintf("%d without a reply, and refused", st.Retained)},
		{"replies", bytesOf(st.Bytes)},
		{"table", bytesOf(st.TableBytes)},
		{"indexes", bytesOf(st.IndexBytes)},
	}
	for _, id := range slices.Sorted(maps.Keys(st.Sealed)) {
		list = append(list, field{"sealed", fmt.Sprintf("%d with key %q", st.Sealed[id], id)})
	}
	if err := p.fields(list); err != nil {
		return err
	}
	return p.chart(st.Lived)
}
