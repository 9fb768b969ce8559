package crash

import (
	"fmt"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/internal/pgwire"
)

// moment is when, in a trip to the server and back, something dies.
type moment string

const (
	before     moment = "before the server hears of it"
	looking    moment = "while the server is at the look"
	working    moment = "while the server is at it"
	committing moment = "while the server is at COMMIT"
	answered   moment = "when the server has answered, and nobody has heard"
	afterwards moment = "when the caller has been told"
)

// kept is what the store keeps under the key.
type kept string

const (
	none  kept = ""
	claim kept = "a claim"
	stale kept = "an expired reply"
	reply kept = "the reply"
)

// state is what there is of a call in the database.
type state struct {
	effects int
	kept    kept
}

// step is a trip of a call to the server.
type step struct {
	name    string
	is      func(*pgwire.Trip) bool
	moments []moment // at which something dies

	gate   string // that the server can be held at while it works
	leaves state  // once the trip has done what it does
}

// way is one of the ways that a call goes, with all its trips in their order.
type way struct {
	mode  idemtx.Mode
	name  string // of what is special about it, or empty
	about string // for the document, if it has a name
	ends  ending
	start state // before the call
	cold  bool  // the connection is new: pgx has not prepared anything on it

	// lost is the trip that meets its fate before anything dies, or nil.
	lost  func(*pgwire.Trip) bool
	fate  pgwire.Fate
	lease bool // the handler runs for so long that its lease is renewed
	steps []step
}

// ending is how a handler ends that has written its effect.
type ending int

const (
	replying ending = iota
	refusing
	failing
	failingLast // in the last statement of a batch
)

func (e ending) fails() bool { return e == failing || e == failingLast }

func (w way) title() string {
	if w.name == "" {
		return string(w.mode)
	}
	return fmt.Sprintf("%s, %s", w.mode, w.name)
}

// point is where in a way something dies.
type point struct {
	way    int // in ways
	step   int // in the way's steps; behind the last when the call is over
	moment moment
}

// rerun is what a retry does that finds no reply.
func (w way) rerun() told {
	if w.mode == idemtx.ModeDoBatch {
		return redone
	}
	return rerun
}

func (p point) of() way    { return ways[p.way] }
func (p point) over() bool { return p.moment == afterwards }

func (p point) is(t *pgwire.Trip) bool {
	return !p.over() && p.of().steps[p.step].is(t)
}

// gate is where the server is held at the point.
func (p point) gate() string {
	s := p.of().steps[p.step]
	switch p.moment {
	case looking:
		return reading
	case committing:
		return s.gate + "_commit"
	}
	return s.gate
}

// left is what the steps before have left.
func (p point) left() state {
	if p.step == 0 {
		return p.of().start
	}
	return p.of().steps[p.step-1].leaves
}

// leaves is what there is when the step has done what it does.
func (p point) leaves() state {
	if p.over() {
		return p.left()
	}
	return p.of().steps[p.step].leaves
}

func (p point) name() string {
	if p.over() {
		return string(p.moment)
	}
	return p.of().steps[p.step].name + " " + string(p.moment)
}

// points are all of them.
func points() []point {
	var all []point
	for w, way := range ways {
		for s, step := range way.steps {
			for _, m := range step.moments {
				all = append(all, point{w, s, m})
			}
		}
		if way.whole() {
			all = append(all, point{w, len(way.steps), afterwards})
		}
	}
	return all
}

// whole tells that each trip of the way has its moments here. Of other ways some
// trips are those of a way that has.
func (w way) whole() bool {
	for _, s := range w.steps {
		if s.moments == nil {
			return false
		}
	}
	return true
}
