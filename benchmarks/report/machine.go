package report

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/idemtx/idemtx/benchmarks/cases"
)

// Machine is where a run was made.
type Machine struct {
	Cores      int
	CPU, Go    string
	Postgres   string
	Settings   string
	RoundTrips string // as they were measured
}

// String is a few sentences.
func (m Machine) String() string {
	return fmt.Sprintf("%d cores (%s), %s, PostgreSQL %s with %s. A round trip takes %s.",
		m.Cores, m.CPU, m.Go, m.Postgres, m.Settings, m.RoundTrips)
}

var settings = []string{
	"fsync", "synchronous_commit", "full_page_writes", "wal_sync_method", "shared_buffers", "max_wal_size", "checkpoint_timeout",
}

// MachineOf asks the system and the server.
func MachineOf(ctx context.Context, b *cases.Bench) (Machine, error) {
	m := Machine{Cores: runtime.NumCPU(), CPU: processor(), Go: runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH}
	if err := b.Admin.QueryRow(ctx, "SELECT split_part(current_setting('server_version'), ' ', 1)").Scan(&m.Postgres); err != nil {
		return m, err
	}
	var all []string
	for _, name := range settings {
		var value string
		if err := b.Admin.QueryRow(ctx, "SELECT current_setting($1)", name).Scan(&value); err != nil {
			return m, err
		}
		all = append(all, name+"="+value)
	}
	m.Settings = strings.Join(all, ", ")
	var trips []string
	for _, latency := range []time.Duration{0, time.Millisecond, 5 * time.Millisecond} {
		took, err := roundTrip(ctx, b, latency)
		if err != nil {
			return m, err
		}
		trips = append(trips, fmt.Sprintf("%s at %d ms", duration(took), latency.Milliseconds()))
	}
	m.RoundTrips = strings.Join(trips, ", ")
	return m, nil
}

// roundTrip is the median of some that do nothing.
func roundTrip(ctx context.Context, b *cases.Bench, latency time.Duration) (time.Duration, error) {
	url, err := b.Server(latency)
	if err != nil {
		return 0, err
	}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return 0, err
	}
	defer conn.Close(ctx)
	took := make([]time.Duration, 101)
	for i := range took {
		begun := time.Now()
		if err := conn.Ping(ctx); err != nil {
			return 0, err
		}
		took[i] = time.Since(begun)
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}

// processor is what Linux calls it.
func processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "of an unknown kind"
}
