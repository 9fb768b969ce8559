// Package cases is what is measured.
package cases

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/idemtx/idemtx/benchmarks/contender"
	"github.com/idemtx/idemtx/benchmarks/measure"
	"github.com/idemtx/idemtx/benchmarks/proxy"
)

// Bench is what all cases share.
type Bench struct {
	URL        string        // of the server, without a proxy
	Admin      *pgxpool.Pool // to the server, for what is not measured
	Contenders []contender.Contender
	Conns      int32         // in the pool of each contender
	Rounds     int           // how many turns each has in a case
	Turn       time.Duration // how long one is
	Quick      bool          // few requests, to see that it works
	Shrink     int           // how many times smaller the tables are than they are to be
	Log        func(format string, arguments ...any)

	proxies map[time.Duration]*proxy.Process
	schemas int
}

// Case is one comparison.
type Case struct {
	Name  string
	About string
	Run   func(ctx context.Context, b *Bench) (Result, error)
}

// Result is what became of a case.
type Result struct {
	Case, About string
	Series      *measure.Series
	Notes       map[string]string // on the entrants of the series
	Counts      []Count
	Sizes       []KeySize
	Growths     []Growth
	Missing     []string // who could not take part, and why
}

// Close ends the proxies.
func (b *Bench) Close() {
	for _, p := range b.proxies {
		_ = p.Close()
	}
}

// Server is the URL of the server at a latency.
func (b *Bench) Server(latency time.Duration) (string, error) {
	if latency == 0 {
		return b.URL, nil
	}
	u, err := url.Parse(b.URL)
	if err != nil {
		return "", err
	}
	if b.proxies[latency] == nil {
		port := u.Port()
		if port == "" {
			port = "5432"
		}
		p, err := proxy.Spawn(u.Hostname()+":"+port, latency)
		if err != nil {
			return "", err
		}
		if b.proxies == nil {
			b.proxies = make(map[time.Duration]*proxy.Process)
		}
		b.proxies[latency] = p
	}
	u.Host = b.proxies[latency].Addr()
	return u.String(), nil
}

// All returns the cases, the shortest first.
func All(quick bool, bloat int, aging time.Duration) []Case {
	all := []Case{counted(), sizes()}
	for _, s := range settings(quick) {
		all = append(all, serve(s))
	}
	all = append(all, duplicates(0))
	if !quick {
		all = append(all, duplicates(time.Millisecond))
	}
	all = append(all, elsewhere(), sweep(), rows())
	if bloat > 0 {
		all = append(all, grow(bloat))
	}
	if aging > 0 {
		all = append(all, vacuum(aging))
	}
	return all
}

// exec is for what the cases prepare and remove.
func (b *Bench) exec(ctx context.Context, sql string) error {
	if _, err := b.Admin.Exec(ctx, sql); err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	return nil
}

// calm writes out what a case before has left in memory, so that it does not
// weigh on the next one. It takes a right that the user of a server may lack.
func (b *Bench) calm(ctx context.Context) {
	_, _ = b.Admin.Exec(ctx, "CHECKPOINT")
}
