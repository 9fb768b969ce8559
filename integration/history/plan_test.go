package history

import (
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/idemtx/idemtx/idemtx"
)

// act is what a run of the handler does.
type act int

const (
	succeed act = iota
	linger      // and succeeds
	failEarly
	failLate // after its work, as all below
	refuseEarly
	refuseLate
	panicLate
	hangUp // ends the context of its own call, and succeeds
)

// plan is one call of a client, decided on before it is made.
type plan struct {
	mode      string // Do, DoBatch, DoTx, DoPool, Get
	key       int
	payload   int
	duplicate idemtx.Duplicate
	timeout   time.Duration
	acts      []act // one for each run of the handler
	isolation pgx.TxIsoLevel
	commits   bool // what the caller of DoTx does when it has its answer, or its error

	killedAt       int  // the trip at which a process made for this call dies; 0: there is none
	killedAnswered bool // it dies when it was answered, and not before it is sent
}

var isolations = []pgx.TxIsoLevel{pgx.ReadCommitted, pgx.RepeatableRead, pgx.Serializable}

// dice makes all choices of one stream, such as a client, from the round's seed.
func dice(seed uint64, stream int) *rand.Rand { return rand.New(rand.NewPCG(seed, uint64(stream))) }

// pick returns one of the choices, which have weights.
func pick[T any](d *rand.Rand, weights []int, choices ...T) T {
	total := 0
	for _, w := range weights {
		total += w
	}
	n := d.IntN(total)
	for i, w := range weights {
		if n -= w; n < 0 {
			return choices[i]
		}
	}
	panic("unreachable")
}

func drawPlan(d *rand.Rand) plan {
	p := plan{
		key:       d.IntN(keys),
		payload:   pick(d, []int{20, 1}, 0, 1),
		duplicate: pick(d, []int{3, 1}, idemtx.Wait, idemtx.Refuse),
		timeout:   patience,
		isolation: isolations[d.IntN(len(isolations))],
		commits:   d.IntN(5) > 0,
	}
	if d.IntN(6) == 0 {
		p.timeout = time.Duration(d.IntN(60)) * time.Millisecond
	}
	for range maxAttempts {
		p.acts = append(p.acts, pick(d, []int{9, 4, 1, 2, 2, 3, 1, 1},
			succeed, linger, failEarly, failLate, refuseEarly, refuseLate, panicLate, hangUp))
	}
	if pooled(p.key) {
		p.mode = pick(d, []int{3, 3, 3, 6, 2}, "Do", "DoBatch", "DoTx", "DoPool", "Get")
	} else {
		p.mode = pick(d, []int{5, 5, 5, 2}, "Do", "DoBatch", "DoTx", "Get")
	}
	if p.mode != "Get" && d.IntN(25) == 0 {
		p.killedAt, p.killedAnswered = 1+d.IntN(9), d.IntN(2) == 0
	}
	return p
}

// The size of a round: small enough for its histories to be checked in a moment,
// as that takes exponentially long in the number of things that go on at once.
const (
	keys        = 4
	processes   = 3
	clients     = 3 // of each process
	calls       = 10
	maxAttempts = 3
)

// pooled tells which keys DoPool is called with, beside the others.
func pooled(key int) bool { return key%2 == 1 }
