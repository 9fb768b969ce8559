package history

import (
	"testing"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"
)

// always is an interval that reaches to the audit: when it was is not known.
const always = 1000

// at is an operation between two moments.
func at(call, end int64, in kind, out output) porcupine.Operation {
	return porcupine.Operation{Input: input{kind: in}, Output: out, Call: call, Return: end}
}

// is is an operation with a run.
func is(o outcome, number int64) output { return output{outcome: o, reply: reply{number: number}} }

func refusal(o outcome, number int64) output {
	return output{outcome: o, reply: reply{number: number, refused: true}}
}

// told is what a request with a payload is told of an expired reply.
func told(call, end int64, payload int) porcupine.Operation {
	return porcupine.Operation{Input: input{payload: payload}, Output: output{outcome: expired}, Call: call, Return: end}
}

// retained is an expiry after which the key is refused.
func retained(number int64) output {
	out := is(done, number)
	out.retains = true
	return out
}

// finally is the audit: the number of the live reply, and the effects.
func finally(number int64, effects ...int64) porcupine.Operation {
	return at(always+1, always+2, audit, output{outcome: done, reply: reply{number: number}, effects: effects})
}

func TestModelAccepts(t *testing.T) {
	t.Parallel()
	for name, history := range map[string][]porcupine.Operation{
		"a first request and a replay": {
			at(1, 2, whole, is(done, 1)), at(3, 4, whole, is(replayed, 1)), at(5, 6, get, is(done, 1)), finally(1, 1),
		},
		"a replay that is told before the first": {
			at(1, 4, whole, is(done, 1)), at(2, 3, whole, is(replayed, 1)), finally(1, 1),
		},
		"a failure, and a retry": {
			at(1, 2, whole, is(failed, 1)), at(3, 4, get, is(done, 0)), at(5, 6, whole, is(done, 2)), finally(2, 2),
		},
		"an unknown outcome that was none": {
			at(1, always, whole, is(unknown, 1)), at(2, 3, get, is(done, 0)), finally(0),
		},
		"an unknown outcome that was one, late": {
			at(1, always, whole, is(unknown, 1)), at(2, 3, get, is(done, 0)), at(4, 5, whole, is(replayed, 1)), finally(1, 1),
		},
		"an unknown outcome that nobody heard of": {
			at(1, always, whole, is(unknown, 1)), finally(1, 1),
		},
		"an unknown outcome of a lifetime before": {
			at(1, always, whole, is(unknown, 1)), at(2, 3, expire, is(done, 1)), at(4, 5, whole, is(done, 2)), finally(2, 1, 2),
		},
		"expiry, and a rerun": {
			at(1, 2, whole, is(done, 1)), at(3, 4, expire, is(done, 1)), at(5, 6, sweep, is(done, 0)),
			at(7, 8, get, is(done, 0)), at(9, 10, whole, is(done, 2)), finally(2, 1, 2),
		},
		"expiry, and a refusal": {
			at(1, 2, whole, is(done, 1)), at(3, 4, expire, retained(1)), told(5, 6, 0), at(7, 8, sweep, is(done, 0)),
			told(9, 10, 0), at(11, 12, get, is(done, 0)), at(13, 14, retire, is(done, 0)), at(15, 16, whole, is(done, 2)), finally(2, 1, 2),
		},
		"a retention of whose end nobody knows": {
			at(1, 2, whole, is(done, 1)), at(3, 4, expire, retained(1)), at(5, always, retire, is(unknown, 0)), told(6, 7, 0),
			at(8, 9, claim, is(done, 2)), finally(0, 1),
		},
		"an expiry of which nobody knows": {
			at(1, 2, whole, is(done, 1)), at(3, always, expire, is(unknown, 1)), at(4, 5, whole, is(replayed, 1)),
			at(6, 7, whole, is(done, 2)), finally(2, 1, 2),
		},
		"a refusal": {
			at(1, 2, whole, refusal(done, 1)), at(3, 4, whole, refusal(replayed, 1)), at(5, 6, expire, refusal(done, 1)), finally(0),
		},
		"pool: a run": {
			at(1, 2, claim, is(done, 1)), at(3, 4, work, is(done, 1)), at(5, 6, leave, is(done, 1)),
			at(7, 8, whole, is(replayed, 1)), finally(1, 1),
		},
		"pool: a run that failed after its work, and another": {
			at(1, 2, claim, is(done, 1)), at(3, 4, work, is(done, 1)), at(5, 6, leave, is(failed, 1)),
			at(7, 8, claim, is(done, 2)), at(9, 10, work, is(done, 2)), at(11, 12, leave, is(done, 2)), finally(2, 1, 2),
		},
		"pool: work that may be lost": {
			at(1, 2, claim, is(done, 1)), at(3, always, work, is(unknown, 1)), at(5, 6, leave, is(failed, 1)), finally(0),
		},
		"pool: a refusal that keeps its work": {
			at(1, 2, claim, is(done, 1)), at(3, 4, work, is(done, 1)), at(5, 6, leave, refusal(done, 1)),
			at(7, 8, expire, refusal(done, 1)), finally(0, 1),
		},
		"pool: a run that has lost its lease": {
			at(1, 2, claim, is(done, 1)), at(3, 4, work, is(done, 1)), at(5, 6, lapse, is(done, 0)),
			at(7, 8, claim, is(done, 2)), at(9, always, leave, is(unknown, 1)), at(11, 12, work, is(done, 2)),
			at(13, 14, leave, is(done, 2)), finally(2, 1, 2),
		},
		"pool: a lease that ended and was not missed": {
			at(1, 2, claim, is(done, 1)), at(3, 4, lapse, is(done, 0)), at(5, 6, work, is(done, 1)),
			at(7, 8, leave, is(done, 1)), finally(1, 1),
		},
		"pool: a lease that may end by itself": {
			at(1, 2, claim, output{outcome: done, reply: reply{number: 1}, lapses: true}),
			at(3, 4, claim, is(done, 2)), finally(0),
		},
		"pool: a save of which nobody knew": {
			at(1, 2, claim, is(done, 1)), at(3, 4, work, is(done, 1)), at(5, always, leave, is(unknown, 1)),
			at(7, 8, get, is(done, 0)), at(9, 10, whole, is(replayed, 1)), finally(1, 1),
		},
		"pool: Do has the key when the lease is over": {
			at(1, 2, claim, is(done, 1)), at(3, 4, lapse, is(done, 0)), at(5, 6, whole, is(done, 2)), finally(2, 2),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, porcupine.Ok, check(history))
		})
	}
}

func TestModelRejects(t *testing.T) {
	t.Parallel()
	for name, history := range map[string][]porcupine.Operation{
		"two effects in one lifetime": {
			at(1, 4, whole, is(done, 1)), at(2, 3, whole, is(done, 2)), finally(1, 1, 2),
		},
		"an effect of a run that was undone": {
			at(1, 2, whole, is(done, 2)), finally(2, 1, 2),
		},
		"an effect twice": {
			at(1, 2, whole, is(done, 1)), finally(1, 1, 1),
		},
		"a reply without its effect": {
			at(1, 2, whole, is(done, 1)), finally(1),
		},
		"a reply without its effect, of an unknown outcome": {
			at(1, always, whole, is(unknown, 1)), finally(1),
		},
		"an effect without its reply": {
			at(1, 2, whole, is(failed, 1)), finally(0, 1),
		},
		"an effect without its reply, of an unknown outcome": {
			at(1, always, whole, is(unknown, 1)), finally(0, 1),
		},
		"an effect whose reply is another's": {
			at(1, always, whole, is(unknown, 1)), at(2, 3, whole, is(done, 2)), finally(2, 1, 2),
		},
		"replies that differ": {
			at(1, 2, whole, is(done, 1)), at(3, 4, whole, is(replayed, 2)), finally(1, 1),
		},
		"a reply to another request": {
			at(1, 2, whole, is(done, 1)),
			at(3, 4, whole, output{outcome: replayed, reply: reply{number: 1, payload: 1}}), finally(1, 1),
		},
		"a reply that was told and is lost": {
			at(1, 2, whole, is(done, 1)), at(3, 4, get, is(done, 0)), at(5, 6, get, is(done, 1)), finally(1, 1),
		},
		"a reply that was swept": {
			at(1, 2, whole, is(done, 1)), at(3, 4, sweep, is(done, 0)), at(5, 6, whole, is(done, 2)), finally(2, 1, 2),
		},
		"a reply that is gone in the end": {
			at(1, 2, whole, is(done, 1)), finally(0, 1),
		},
		"a replay before the request": {
			at(1, 2, whole, is(replayed, 1)), at(3, 4, whole, is(done, 1)), finally(1, 1),
		},
		"a replay of what nobody has told": {
			at(1, 2, whole, is(replayed, 1)), at(3, 4, whole, is(failed, 2)), finally(1, 1),
		},
		"a replay after the end": {
			at(1, 2, whole, is(done, 1)), at(3, 4, expire, is(done, 1)), at(5, 6, whole, is(replayed, 1)), finally(0, 1),
		},
		"a run while the key is retained": {
			at(1, 2, whole, is(done, 1)), at(3, 4, expire, retained(1)), at(5, 6, sweep, is(done, 0)),
			at(7, 8, whole, is(done, 2)), finally(2, 1, 2),
		},
		"a claim while the key is retained": {
			at(1, 2, whole, is(done, 1)), at(3, 4, expire, retained(1)), at(5, 6, claim, is(done, 2)), finally(0, 1),
		},
		"a replay while the key is retained": {
			at(1, 2, whole, is(done, 1)), at(3, 4, expire, retained(1)), at(5, 6, whole, is(replayed, 1)), finally(0, 1),
		},
		"a refusal while there is a reply": {
			at(1, 2, whole, is(done, 1)), told(3, 4, 0), finally(1, 1),
		},
		"a refusal of a key that was never used": {
			told(1, 2, 0), finally(0),
		},
		"a refusal as if it were the request that was answered": {
			at(1, 2, whole, is(done, 1)), at(3, 4, expire, retained(1)), told(5, 6, 1), finally(0, 1),
		},
		"a refusal after the retention": {
			at(1, 2, whole, is(done, 1)), at(3, 4, expire, retained(1)), at(5, 6, retire, is(done, 0)), told(7, 8, 0), finally(0, 1),
		},
		"an expiry of what never was": {
			at(1, 2, expire, is(done, 1)), finally(0),
		},
		"a refusal with an effect": {
			at(1, 2, whole, refusal(done, 1)), at(3, 4, expire, refusal(done, 1)), finally(0, 1),
		},
		"a refusal that is told as a success": {
			at(1, 2, whole, refusal(done, 1)), at(3, 4, whole, is(replayed, 1)), at(5, 6, expire, is(done, 1)), finally(0),
		},
		"pool: two runs at once": {
			at(1, 2, claim, is(done, 1)), at(3, 4, claim, is(done, 2)), at(5, 6, leave, is(failed, 1)), finally(0),
		},
		"pool: a run while there is a reply": {
			at(1, 2, whole, is(done, 1)), at(3, 4, claim, is(done, 2)), finally(1, 1),
		},
		"pool: a reply without work": {
			at(1, 2, claim, is(done, 1)), at(3, 4, leave, is(done, 1)), at(5, 6, expire, is(done, 1)), finally(0),
		},
		"pool: a reply before the work": {
			at(1, 2, claim, is(done, 1)), at(3, 4, leave, is(done, 1)), at(5, 6, work, is(done, 1)), finally(1, 1),
		},
		"pool: work that is lost": {
			at(1, 2, claim, is(done, 1)), at(3, 4, work, is(done, 1)), at(5, 6, leave, is(done, 1)),
			at(7, 8, expire, is(done, 1)), finally(0),
		},
		"pool: a reply of one who was replaced": {
			at(1, 2, claim, is(done, 1)), at(3, 4, work, is(done, 1)), at(5, 6, lapse, is(done, 0)),
			at(7, 8, claim, is(done, 2)), at(9, 10, leave, is(done, 1)), finally(1, 1),
		},
		"pool: another run although the work is done and the lease holds": {
			at(1, 2, claim, is(done, 1)), at(3, 4, work, is(done, 1)), at(5, always, leave, is(unknown, 1)),
			at(7, 8, claim, is(done, 2)), finally(0, 1),
		},
		"pool: Do beside a claim that holds": {
			at(1, 2, claim, is(done, 1)), at(3, 4, whole, is(done, 2)), finally(2, 2),
		},
		"pool: a reply that was failed": {
			at(1, 2, claim, is(done, 1)), at(3, 4, work, is(done, 1)), at(5, 6, leave, is(failed, 1)), finally(1, 1),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, porcupine.Illegal, check(history))
		})
	}
}
