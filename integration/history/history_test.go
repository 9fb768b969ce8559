package history

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	duration = flag.Duration("history.duration", 5*time.Second, "how long TestHistories goes on")
	first    = flag.Uint64("history.seed", 0, "the seed of the first round; random if it is 0")
)

// minRounds is how many rounds there are at least: in fewer, something that is
// asked for in the end might not have happened.
const minRounds = 5

// TestHistories plays rounds with one server until the time is up. Each has a seed
// of its own, one more than that of the round before, so that a violation's round
// can be played first.
func TestHistories(t *testing.T) {
	t.Parallel()
	began := time.Now()
	seed := *first
	if seed == 0 {
		seed = rand.Uint64N(1e9) + 1
	}
	t.Logf("the first seed is %d", seed)
	s := newServer(t)
	total := make(map[string]int)
	for rounds := 0; rounds < minRounds || time.Since(began) < *duration; rounds++ {
		r := newRound(t, s, seed)
		r.play()
		for _, key := range r.check() {
			t.Errorf("the history of %s is not linearizable; to play its round again:\n"+
				"go test -race -run TestHistories ./integration/history -history.duration=1ns -history.seed=%d\n%s",
				r.keys[key], seed, r.show(key))
		}
		for what, n := range r.tally {
			total[what] += n
		}
		total["rounds"]++
		if t.Failed() {
			break
		}
		seed++
	}
	for _, what := range slices.Sorted(maps.Keys(total)) {
		t.Logf("%7d %s", total[what], what)
	}
	// A history in which nothing happens is linearizable.
	for _, what := range []string{
		"Do call done", "Do call replayed", "DoBatch call done", "DoBatch call replayed", "DoTx call done", "DoPool leave done",
		"expire expire done", "retire retire done",
	} {
		require.Positive(t, total[what], what)
	}
	require.Positive(t, total["Do call expired"]+total["DoBatch call expired"]+total["DoTx call expired"])
}

// newRound makes a round whose every choice is thrown with dice of its seed.
func newRound(t *testing.T, s *server, seed uint64) *round {
	t.Helper()
	const roundStream = 0
	r := &round{recorder: newRecorder(), server: s, t: t, seed: seed, faults: true}
	d := dice(seed, roundStream)
	r.lapses, r.retains = d.IntN(4) == 0, seed%2 == 0
	for key := range keys {
		r.keys = append(r.keys, fmt.Sprintf("round %d key %d", seed, key))
	}
	return r
}
