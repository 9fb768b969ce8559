package idemui

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/scope"
)

// Recorder is an [idemtx.Tracer] that remembers what the calls of this process did
// in the last hour, and which of them are in flight. It goes into
// [idemtx.Config.Tracer] before there is a [Handler]. The zero value is ready to
// use; it must not be copied once it is used.
//
// It starts no goroutine, and takes about 150 kB, and little more for each call in
// flight, of which it describes at most a thousand. Of several stores with one
// Recorder it tells the sum.
type Recorder struct {
	// Next is told of each call as well, such as a tracer for OpenTelemetry. What it
	// puts into the context reaches the handler. When it is an [idemtx.SweepTracer],
	// it is told of sweeps.
	//
	// Defaults to none. It must not change once the Recorder is used.
	Next idemtx.Tracer

	mu      sync.Mutex
	hour    hour
	flights map[*flight]struct{}
	others  int // calls in flight that flights has no room for
	swept   *sweep
}

var (
	_ idemtx.Tracer      = (*Recorder)(nil)
	_ idemtx.SweepTracer = (*Recorder)(nil)
)

const (
	// maxFlights is of how many calls a Recorder knows more than that they are in flight.
	maxFlights = 1000

	// maxShort is how many bytes of an operation's name, or a key's, are kept.
	maxShort = 100
)

// flight is a call that has not ended.
type flight struct {
	mode      idemtx.Mode
	scope     scope.Scope
	operation string
	key       string
	since     time.Time
	described bool // it is in Recorder.flights, and not one of Recorder.others
}

// sweep is what a batch of the sweeper did.
type sweep struct {
	At              time.Time
	Deleted, Buried int64
	Failed          bool
}

// flightOf finds a call in its context. Recorders in a chain have one each, and so
// have calls inside a handler of another.
type flightOf struct{ recorder *Recorder }

// TraceStart notes a call as in flight.
func (r *Recorder) TraceStart(ctx context.Context, data idemtx.TraceStartData) context.Context {
	if r.Next != nil {
		ctx = r.Next.TraceStart(ctx, data)
	}
	return context.WithValue(ctx, flightOf{r}, r.begin(data))
}

// TraceEnd counts a call's outcome.
func (r *Recorder) TraceEnd(ctx context.Context, data idemtx.TraceEndData) {
	f, _ := ctx.Value(flightOf{r}).(*flight)
	r.end(f, data.Outcome)
	if r.Next != nil {
		r.Next.TraceEnd(ctx, data)
	}
}

// TraceSweep remembers what the sweeper of this process did last. A batch that was left
// to another replica is none.
func (r *Recorder) TraceSweep(ctx context.Context, data idemtx.TraceSweepData) {
	if !data.Skipped {
		r.mu.Lock()
		r.swept = &sweep{At: time.Now(), Deleted: data.Deleted, Buried: data.Buried, Failed: data.Err != nil}
		r.mu.Unlock()
	}
	if next, ok := r.Next.(idemtx.SweepTracer); ok {
		next.TraceSweep(ctx, data)
	}
}

func (r *Recorder) begin(data idemtx.TraceStartData) *flight {
	f := &flight{mode: data.Mode, scope: data.Scope, operation: short(data.Operation), key: short(strings.ToValidUTF8(data.Key, "")), since: time.Now()}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.flights) >= maxFlights {
		r.others++
		return f
	}
	if r.flights == nil {
		r.flights = map[*flight]struct{}{}
	}
	f.described = true
	r.flights[f] = struct{}{}
	return f
}

// end has no f when a tracer around this one has lost the context of TraceStart.
func (r *Recorder) end(f *flight, o idemtx.Outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hour.count(time.Now(), o)
	switch {
	case f == nil:
	case f.described:
		delete(r.flights, f)
	default:
		r.others--
	}
}

// short copies a text, or its beginning: in some frameworks a string
// is memory that the next request is written into.
func short(text string) string {
	if len(text) <= maxShort {
		return strings.Clone(text)
	}
	end := maxShort - len("…")
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}

// inFlight returns up to limit calls, the oldest first, and how many there are.
func (r *Recorder) inFlight(limit int) (oldest []flight, all int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for f := range r.flights {
		oldest = append(oldest, *f)
	}
	slices.SortFunc(oldest, func(a, b flight) int { return a.since.Compare(b.since) })
	return oldest[:min(limit, len(oldest))], len(r.flights) + r.others
}

// lastHour returns what was counted, by the minute.
func (r *Recorder) lastHour(now time.Time) []minute {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.hour.minutes(now)
}

// lastSweep is nil when this process has not swept.
func (r *Recorder) lastSweep() *sweep {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.swept
}
