package crash

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/internal/pgwire"
)

// TestTripsAreSteps sees to it that the matrix is whole: a call that nothing
// happens to takes the steps of its way, in their order, and no other trip.
func TestTripsAreSteps(t *testing.T) {
	t.Parallel()
	h := newHost(t, server.URL)
	for i, w := range ways {
		t.Run(w.title(), func(t *testing.T) {
			t.Parallel()
			x := &trial{point: point{i, len(w.steps), afterwards}, death: backend, next: same, host: h, life: t}
			took := new(travelogue)
			x.watch = took.note
			x.begin(t)
			if w.lease {
				require.Eventually(t, func() bool { return slices.ContainsFunc(took.trips(), renews) }, patience, time.Millisecond)
				close(x.own.past)
			}
			x.arrive(t)
			// A replay tells its caller before it has rolled back.
			require.Eventually(t, func() bool { return len(took.steps()) >= len(w.steps) }, patience, time.Millisecond)
			require.Len(t, took.steps(), len(w.steps))
			for i, trip := range took.steps() {
				require.True(t, w.steps[i].is(trip), "%s: %q", w.steps[i].name, trip.Statements)
			}
			require.Equal(t, w.steps[len(w.steps)-1].leaves, x.state(t))
		})
	}
}

// travelogue is the trips of a call.
type travelogue struct {
	mu  sync.Mutex
	all []*pgwire.Trip
}

// note leaves out trips that prepare, which have no statements, and those of the
// pool, which sees whether a connection is alive.
func (l *travelogue) note(t *pgwire.Trip) {
	if len(t.Statements) == 0 || t.Has("-- ping") {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, t)
}

func (l *travelogue) trips() []*pgwire.Trip {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}

// steps are the trips, with one renewal for as many as there was time for.
func (l *travelogue) steps() []*pgwire.Trip {
	return slices.CompactFunc(l.trips(), func(a, b *pgwire.Trip) bool { return renews(a) && renews(b) })
}
