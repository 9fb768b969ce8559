package history

import (
	"cmp"
	"math"
	"slices"
	"sync"

	"github.com/anishathalye/porcupine"
)

// recorder keeps what was done to each key. Its clock counts, so that no two
// moments are one: what has ended before another thing began has a lesser time.
type recorder struct {
	mu         sync.Mutex
	clock      int64
	operations map[string][]porcupine.Operation // by key
	strangers  int                              // clients that are not heard of again
	tally      map[string]int
	astray     []int32 // backends with a pipeline whose client is gone
}

// firstStranger is above the number of every client.
const firstStranger = 100

func newRecorder() *recorder {
	return &recorder{operations: make(map[string][]porcupine.Operation), tally: make(map[string]int)}
}

func (r *recorder) now() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clock++
	return r.clock
}

// add adds an operation that has ended now. If its outcome is unknown, it has not:
// it may take effect until the round is closed.
func (r *recorder) add(client int, key string, call int64, in input, out output) {
	r.addUntil(r.now(), client, key, call, in, out)
}

func (r *recorder) addUntil(end int64, client int, key string, call int64, in input, out output) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if out.outcome == unknown {
		end = math.MaxInt64
		r.strangers++
		client = firstStranger + r.strangers // the client itself goes on
	}
	r.operations[key] = append(r.operations[key], porcupine.Operation{
		ClientId: client, Input: in, Output: out, Call: call, Return: end,
	})
	r.tally[cmp.Or(in.mode, in.kind.String())+" "+in.kind.String()+" "+out.outcome.String()]++
}

// count counts what is no operation, such as a fault.
func (r *recorder) count(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tally[what]++
}

// close ends what has no end. Whatever the server was about to do is done.
func (r *recorder) close() {
	end := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, operations := range r.operations {
		for i := range operations {
			operations[i].Return = min(operations[i].Return, end)
		}
	}
}

// of returns the history of a key, in the order of its calls.
func (r *recorder) of(key string) []porcupine.Operation {
	return slices.SortedFunc(slices.Values(r.operations[key]), func(a, b porcupine.Operation) int {
		return cmp.Compare(a.Call, b.Call)
	})
}
