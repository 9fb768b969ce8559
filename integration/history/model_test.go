// Package history lets many clients use few keys while connections, backends and
// the server break, and checks each key's history for linearizability against a
// small model of what one key may do.
package history

import (
	"hash/maphash"

	"github.com/anishathalye/porcupine"
)

// state is one key at one moment. It is compared with ==.
type state struct {
	reply   reply // the live one; zero is none
	spent   reply // the one that has expired and whose key is retained
	holder  int64 // the run of DoPool that has claimed the key; 0 is none
	lapsed  bool  // the holder's lease has ended, so that others may have the key
	effects set   // the runs whose work is committed, of all lifetimes
}

// reply is what a run of the handler has made of a request. Each run has a number
// of its own.
type reply struct {
	number  int64
	payload int // of the request
	refused bool
}

// kind is what happens to a key. All but the last five are parts of a call.
type kind int

const (
	whole  kind = iota // a call of Do, DoBatch or DoTx, or one of DoPool whose handler has not run
	claim              // DoPool, until its handler has begun
	work               // what the handler of DoPool does
	leave              // DoPool, after its handler's end
	get                // Store.Get
	expire             // the reply's time is up
	retire             // and now the time for which its key is retained
	lapse              // the claim's lease is over
	sweep              // Store.DeleteExpired
	audit              // a look at what is there when all is over
)

// input is what is asked for.
type input struct {
	kind    kind
	mode    string
	payload int
}

// outcome is what is known of an operation.
type outcome int

const (
	failed   outcome = iota // it is known that nothing was done
	unknown                 // it is done at some moment before the audit, or never
	done                    // for a whole call: replied by a run of its own
	replayed                // replied by another's run
	expired                 // told that the reply has expired
)

// output is what has come of it.
type output struct {
	outcome outcome
	reply   reply   // told, found, or drafted by the run in question
	lapses  bool    // claim: its lease is short and may end by itself
	retains bool    // expire: the key is retained
	effects []int64 // audit: the numbers of the effects that are committed

	// For the reader alone.
	runs  []int64
	cause string
}

// model is the model of one key. An operation takes effect as a whole at one
// moment between its call and its return. What it must never do is what step has
// no state for.
var model = (&porcupine.NondeterministicModel{
	Init: func() []any { return []any{state{}} },
	Step: func(s, in, out any) []any {
		var next []any
		for _, one := range step(s.(state), in.(input), out.(output)) {
			next = append(next, one)
		}
		return next
	},
	Hash:              func(s any) uint64 { return maphash.Comparable(seed, s.(state)) },
	DescribeOperation: func(in, out any) string { return describe(in.(input), out.(output)) },
	DescribeState:     func(s any) string { return s.(state).String() },
}).ToModel()

var seed = maphash.MakeSeed()

// step returns the states in which the operation may leave the key.
func step(s state, in input, out output) []state {
	switch out.outcome {
	case failed:
		// A call that failed has done nothing. Of a failed run of DoPool that is
		// true of the reply alone: what it has worked is an operation of its own.
		if in.kind == leave {
			s = s.released(out.reply.number)
		}
		return []state{s}
	case expired:
		return s.refuses(in.payload)
	case unknown:
		return append(step(s, in, output{outcome: done, reply: out.reply}), s)
	}
	switch in.kind {
	case whole, get:
		if out.outcome == done && in.kind == whole {
			return s.answer(out.reply)
		}
		return s.shows(out.reply)
	case claim:
		return s.claim(out.reply.number, out.lapses)
	case work:
		s.effects.add(out.reply.number)
	case leave:
		return s.save(out.reply)
	case expire:
		return s.expire(out.reply, out.retains)
	case retire:
		s.spent = reply{}
	case lapse:
		s.lapsed = s.holder != 0
	case audit:
		return s.audit(out)
	}
	return []state{s}
}

// free: a handler may run. A key that has a live reply or is retained is never worked
// for again, and one that is claimed not before the lease is over.
func (s state) free() bool {
	return s.reply == reply{} && s.spent == reply{} && (s.holder == 0 || s.lapsed)
}

// answer is the commit of Do, DoBatch and DoTx: the effect and the reply are one. A refusal
// is a reply whose effect was undone.
func (s state) answer(r reply) []state {
	if !s.free() || s.effects.has(r.number) {
		return nil
	}
	if !r.refused {
		s.effects.add(r.number)
	}
	s.reply, s.holder, s.lapsed = r, 0, false
	return []state{s}
}

// shows is a replay: all replies of a lifetime are equal, and are answers to the
// request that was first. Without a live reply nothing is found.
func (s state) shows(r reply) []state {
	if s.reply != r {
		return nil
	}
	return []state{s}
}

// refuses: only the request whose reply has expired is told so.
func (s state) refuses(payload int) []state {
	if s.spent == (reply{}) || s.spent.payload != payload {
		return nil
	}
	return []state{s}
}

// claim: one run at a time, unless the other's lease is over.
func (s state) claim(number int64, lapses bool) []state {
	if !s.free() {
		return nil
	}
	s.holder, s.lapsed = number, lapses
	return []state{s}
}

// save stores the reply of the run that holds the key: of one whose work is done
// already, or that has refused. Who was replaced has no reply.
func (s state) save(r reply) []state {
	if s.holder != r.number || !r.refused && !s.effects.has(r.number) {
		return nil
	}
	s.reply, s.holder, s.lapsed = r, 0, false
	return []state{s}
}

// released is the key after a run has given back its claim. If that did not reach
// the server, the claim is in the way of others until its lease ends; those are
// told that it is in flight, which is no operation here. So the key is as good as
// free.
func (s state) released(number int64) state {
	if s.holder == number {
		s.holder, s.lapsed = 0, false
	}
	return s
}

// expire ends the lifetime of a reply.
func (s state) expire(r reply, retains bool) []state {
	if s.reply.number != r.number {
		return nil
	}
	if retains {
		s.spent = s.reply
	}
	s.reply = reply{}
	return []state{s}
}

// audit: the effects that are there are those of the runs that were said to have
// worked, each once, and the live reply is the one that was told.
func (s state) audit(out output) []state {
	var found set
	for _, number := range out.effects {
		if found.has(number) {
			return nil
		}
		found.add(number)
	}
	if found != s.effects {
		return nil
	}
	return s.shows(out.reply)
}

// maxRuns is how many runs of handlers a round may have.
const maxRuns = 512

// set is a set of numbers of runs.
type set [maxRuns / 64]uint64

func (s *set) add(number int64)      { s[number/64] |= 1 << (number % 64) }
func (s *set) has(number int64) bool { return s[number/64]&(1<<(number%64)) != 0 }
