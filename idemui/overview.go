package idemui

import (
	"context"
	_ "embed"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/idemtx/idemtx/idemadmin"
)

const (
	// refreshEvery is how often a reader who wants it that way gets a new overview.
	refreshEvery = 10 * time.Second

	// maxListed is how many calls, and how many claims, the overview lists.
	maxListed = 50
)

// overviewData is what the overview shows.
type overviewData struct {
	Stats        answer[idemadmin.Stats]
	StatsTrouble *trouble
	Estimate     *estimate // where there are no stats
	Ages         []age
	Timeout      time.Duration

	Claims        answer[[]idemadmin.Flight]
	ClaimsTrouble *trouble

	Hour *hourData // nil without a Recorder

	ShowScopes bool
}

// age is a line of the replies by age.
type age struct {
	UpTo  time.Duration
	Rows  int64
	Share int // of the longest line, in percent
}

func (h *Handler) overview(w http.ResponseWriter, r *http.Request) {
	data := &overviewData{Timeout: h.config.Timeout, ShowScopes: h.config.ShowScopes}
	data.Stats = h.stats.get(r.Context(), h.config, func(ctx context.Context) (idemadmin.Stats, error) {
		stats, err := idemadmin.Count(ctx, h.store)
		return stats, h.logged("the table cannot be counted", err)
	})
	data.StatsTrouble = troubleOf(data.Stats.Err)
	data.Ages = ages(data.Stats.Value.Lived)
	if data.StatsTrouble != nil && data.StatsTrouble.Slow {
		data.Estimate = h.estimate(r.Context())
	}
	data.Claims = h.claims.get(r.Context(), h.config, func(ctx context.Context) ([]idemadmin.Flight, error) {
		claims, err := idemadmin.InFlight(ctx, h.store, maxListed+1) // one more tells that there are more
		return claims, h.logged("the claims cannot be listed", err)
	})
	data.ClaimsTrouble = troubleOf(data.Claims.Err)
	if h.recorder != nil {
		data.Hour = h.hourData(time.Now())
	}
	f := h.frame("Overview", "overview", data)
	if r.URL.Query().Has("live") {
		f.Refresh = refreshEvery
	}
	h.show(w, http.StatusOK, overviewPage, f)
}

// InFlight is how many calls are at work: those that have claimed their key, and those
// in a transaction.
func (d *overviewData) InFlight() int64 { return d.Stats.Value.InFlight + d.Stats.Value.InTransaction }

// Listed are the claims that the page has room for.
func (d *overviewData) Listed() []idemadmin.Flight {
	return d.Claims.Value[:min(maxListed, len(d.Claims.Value))]
}

// More tells that there are claims that are not listed.
func (d *overviewData) More() bool { return len(d.Claims.Value) > maxListed }

// ages leaves out the end of the scale that nothing has lived to.
func ages(lived []idemadmin.Bucket) (all []age) {
	var most, last int64
	for i, b := range lived {
		most = max(most, b.Rows)
		if b.Rows > 0 {
			last = int64(i + 1)
		}
	}
	for _, b := range lived[:last] {
		share := 0
		if b.Rows > 0 {
			share = int(max(1, b.Rows*100/most)) // what is there is seen
		}
		all = append(all, age{UpTo: b.UpTo, Rows: b.Rows, Share: share})
	}
	return all
}

//go:embed estimate.sql
var estimateSQL string

// estimate is what PostgreSQL knows of the table without reading it.
type estimate struct {
	Rows, Bytes int64
}

// estimate returns nil when not even that can be had in time.
func (h *Handler) estimate(ctx context.Context) *estimate {
	ctx, cancel := context.WithTimeout(ctx, h.config.Timeout)
	defer cancel()
	config := h.store.Config()
	e := new(estimate)
	err := h.store.Pool().QueryRow(ctx, estimateSQL, pgx.Identifier{config.Schema, config.Table}.Sanitize()).
		Scan(&e.Rows, &e.Bytes)
	if err != nil {
		h.log("the table's size cannot be estimated", err)
		return nil
	}
	return e
}
