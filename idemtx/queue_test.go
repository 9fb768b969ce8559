package idemtx

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

var oneKey = keyID{scope: "acme\x1ealice", key: "order-1"}

// waiting is a call that waits in line for up to maxWait.
func waiting(maxWait time.Duration) *call {
	return &call{id: oneKey, deadline: time.Now().Add(maxWait)}
}

// refusing is a call that does not wait for a handler.
func refusing(f Fingerprint) *call {
	c := waiting(time.Hour)
	c.refuse, c.fingerprint = true, f
	return c
}

// outcome is how an await ended.
type outcome struct {
	answer *row
	err    error
}

// begins awaits in the background.
func begins(ctx context.Context, p *place, c *call) <-chan outcome {
	ended := make(chan outcome, 1)
	go func() {
		answer, err := p.await(ctx, c)
		ended <- outcome{answer, err}
	}()
	return ended
}

// hasTurn gets in an empty line.
func hasTurn(t *testing.T, q *queue) *place {
	t.Helper()
	p := q.join(oneKey)
	answer, err := p.await(t.Context(), waiting(0))
	require.NoError(t, err)
	require.Nil(t, answer)
	return p
}

func requireEmpty(t *testing.T, q *queue) {
	t.Helper()
	require.Empty(t, q.lines, "a line is kept although nobody is in it")
}

func TestTheNextHasItsTurnWhenTheLastHasLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := new(queue)
		first, second := hasTurn(t, q), q.join(oneKey)
		ended := begins(t.Context(), second, waiting(time.Hour))
		synctest.Wait()
		require.Empty(t, ended)

		first.runs(Fingerprint{})
		first.leave(nil) // its handler has failed
		require.Equal(t, outcome{}, <-ended)
		second.leave(nil)
		requireEmpty(t, q)
	})
}

func TestKeysDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	q := new(queue)
	var places []*place
	for _, id := range []keyID{oneKey, {oneKey.scope, "order-2"}, {"acme\x1ebob", oneKey.key}, {oneKey.key, oneKey.scope}} {
		p := q.join(id)
		answer, err := p.await(t.Context(), waiting(0)) // would be in flight if it had to wait
		require.NoError(t, err)
		require.Nil(t, answer)
		places = append(places, p)
	}
	for _, p := range places {
		p.leave(nil)
	}
	requireEmpty(t, q)
}

func TestWhoeverIsToWaitNoLongerIsInFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := new(queue)
		first, c, began := hasTurn(t, q), waiting(3*time.Second), time.Now()
		_, err := q.join(oneKey).await(t.Context(), c)
		require.Equal(t, &InFlightError{RetryAfter: time.Second}, err)
		require.Equal(t, 3*time.Second, time.Since(began))
		require.Equal(t, 1, first.line.callers)
		first.leave(nil)
		requireEmpty(t, q)
	})
}

func TestTheEndOfItsContextTakesACallerOutOfTheLine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := new(queue)
		first := hasTurn(t, q)
		ctx, cancel := context.WithCancel(t.Context())
		canceled := begins(ctx, q.join(oneKey), waiting(time.Hour))
		third := q.join(oneKey)
		patient := begins(t.Context(), third, waiting(time.Hour))
		synctest.Wait()
		cancel()
		require.Equal(t, outcome{err: context.Canceled}, <-canceled)

		first.leave(nil)
		require.Equal(t, outcome{}, <-patient)
		third.leave(nil)
		requireEmpty(t, q)
	})
}

func TestTheWaitIsAccountedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := new(queue)
		c := waiting(time.Minute)
		p := q.join(oneKey)
		_, err := p.await(t.Context(), c)
		require.NoError(t, err)
		require.Zero(t, c.waited, "there was nobody to wait for")

		c.waited = time.Minute // in PostgreSQL, say
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		_, err = q.join(oneKey).await(ctx, c)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Minute+2*time.Second, c.waited)
		p.leave(nil)
		requireEmpty(t, q)
	})
}

func TestAnAnswerIsPassedOnToThoseWhoCameBeforeItsQuestion(t *testing.T) {
	t.Parallel()
	q := new(queue)
	answer := &row{SecondsLeft: 60}
	first, before := hasTurn(t, q), q.join(oneKey)
	first.asks()
	after := q.join(oneKey)
	first.leave(answer)

	passedOn, err := before.await(t.Context(), waiting(0))
	require.NoError(t, err)
	require.Same(t, answer, passedOn)

	passedOn, err = after.await(t.Context(), waiting(0))
	require.NoError(t, err)
	require.Nil(t, passedOn, "it may be older than its caller's request")
	after.leave(nil)
	requireEmpty(t, q)
}

func TestAnAnswerBelongsToTheLastQuestionOfItsAsker(t *testing.T) {
	t.Parallel()
	q := new(queue)
	answer := &row{SecondsLeft: 60}
	first := hasTurn(t, q)
	first.asks()
	between := q.join(oneKey)
	first.asks()
	first.leave(answer)
	passedOn, err := between.await(t.Context(), waiting(0))
	require.NoError(t, err)
	require.Same(t, answer, passedOn)
	requireEmpty(t, q)
}

func TestWhoeverComesLaterPutsAQuestionOfItsOwn(t *testing.T) {
	t.Parallel()
	q := new(queue)
	first, keepsTheLine := hasTurn(t, q), q.join(oneKey)
	first.asks()
	first.leave(&row{SecondsLeft: 60})
	last := q.join(oneKey)
	passedOn, err := last.await(t.Context(), waiting(0))
	require.NoError(t, err)
	require.Nil(t, passedOn)

	last.asks() // and finds nothing
	last.leave(nil)
	passedOn, err = keepsTheLine.await(t.Context(), waiting(0))
	require.NoError(t, err)
	require.NotNil(t, passedOn, "an answer was lost because a later turn had none")
	requireEmpty(t, q)
}

func TestAnAnswerGoesThroughTheWholeLine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := new(queue)
		first, answer := hasTurn(t, q), &row{SecondsLeft: 60}
		var line []<-chan outcome
		for range 1000 {
			line = append(line, begins(t.Context(), q.join(oneKey), waiting(time.Hour)))
		}
		synctest.Wait()
		first.asks()
		first.leave(answer)
		for _, ended := range line {
			require.Equal(t, outcome{answer: answer}, <-ended)
		}
		requireEmpty(t, q)
	})
}

func TestNobodyInLineIsLost(t *testing.T) {
	t.Parallel()
	q := new(queue)
	var inTurn, turns atomic.Int32
	var callers sync.WaitGroup
	for range 1000 {
		callers.Go(func() {
			p := q.join(oneKey)
			_, err := p.await(t.Context(), waiting(time.Hour))
			turns.Add(1)
			alone := inTurn.Add(1) == 1
			inTurn.Add(-1)
			p.leave(nil)
			if err != nil || !alone {
				t.Errorf("alone: %v, error: %v", alone, err)
			}
		})
	}
	callers.Wait()
	require.EqualValues(t, 1000, turns.Load())
	requireEmpty(t, q)
}

func TestARunningHandlerRefuses(t *testing.T) {
	t.Parallel()
	its, another := Fingerprint{1}, Fingerprint{2}
	inFlight := &InFlightError{RetryAfter: time.Second}
	for _, came := range []string{"before it began", "after it began"} {
		t.Run(came, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				q := new(queue)
				first := hasTurn(t, q)
				if came == "after it began" {
					first.runs(its)
				}
				same := begins(t.Context(), q.join(oneKey), refusing(its))
				different := begins(t.Context(), q.join(oneKey), refusing(another))
				patient := q.join(oneKey)
				waits := begins(t.Context(), patient, waiting(time.Hour))
				synctest.Wait()
				first.runs(its) // once more after a serialization failure
				require.Equal(t, outcome{err: inFlight}, <-same)
				require.Equal(t, outcome{err: ErrMismatch}, <-different)
				synctest.Wait()
				require.Empty(t, waits, "Wait was refused")

				first.leave(nil)
				require.Equal(t, outcome{}, <-waits)
				patient.leave(nil)
				requireEmpty(t, q)
			})
		})
	}
}

// Whose patience has ended hears why all the same.
func TestRefuseAtTheEndOfItsPatience(t *testing.T) {
	t.Parallel()
	var q queue
	first := hasTurn(t, &q)
	first.runs(Fingerprint{1})
	for range 100 { // select draws lots
		other := refusing(Fingerprint{2})
		other.deadline = time.Now()
		_, err := q.join(oneKey).await(t.Context(), other)
		require.ErrorIs(t, err, ErrMismatch)
	}
	first.leave(nil)
	requireEmpty(t, &q)
}

func TestALookupRefusesNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := new(queue)
		first, second := hasTurn(t, q), q.join(oneKey)
		first.asks()
		ended := begins(t.Context(), second, refusing(Fingerprint{}))
		synctest.Wait()
		require.Empty(t, ended)
		first.leave(nil)
		require.Equal(t, outcome{}, <-ended)
		second.leave(nil)
		requireEmpty(t, q)
	})
}

func TestAHandlerThatIsOverRefusesNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := new(queue)
		first, second := hasTurn(t, q), q.join(oneKey)
		first.runs(Fingerprint{1})
		first.leave(nil)
		_, err := second.await(t.Context(), waiting(0))
		require.NoError(t, err)

		third := q.join(oneKey)
		ended := begins(t.Context(), third, refusing(Fingerprint{2}))
		synctest.Wait()
		require.Empty(t, ended, "refused although the second only looks")
		began := time.Now()
		second.runs(Fingerprint{2})
		require.Equal(t, outcome{err: &InFlightError{RetryAfter: time.Second}}, <-ended, "compared with a handler that is over")
		require.Zero(t, time.Since(began), "in flight because it has waited too long")
		second.leave(nil)
		requireEmpty(t, q)
	})
}

func TestRefuseHearsOfAHandlerInALaterTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := new(queue)
		first, second := hasTurn(t, q), q.join(oneKey)
		next := begins(t.Context(), second, waiting(time.Hour))
		synctest.Wait() // second is before the one that refuses
		ended := begins(t.Context(), q.join(oneKey), refusing(Fingerprint{1}))
		synctest.Wait()
		first.leave(nil)
		require.Equal(t, outcome{}, <-next)
		second.runs(Fingerprint{2})
		require.Equal(t, outcome{err: ErrMismatch}, <-ended)
		second.leave(nil)
		requireEmpty(t, q)
	})
}

func TestRefuseGetsAnAnswerThatComesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := new(queue)
		first, answer := hasTurn(t, q), &row{SecondsLeft: 60}
		ended := begins(t.Context(), q.join(oneKey), refusing(Fingerprint{}))
		synctest.Wait()
		first.asks()
		first.leave(answer)
		require.Equal(t, outcome{answer: answer}, <-ended)
		requireEmpty(t, q)
	})
}

// A caller of each kind, and whatever becomes of it, in an order that nobody
// has thought of.
func TestAnyMixtureOfCallersTakesTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := mixture{t: t}
		var callers sync.WaitGroup
		for range 2000 {
			callers.Go(m.caller)
		}
		callers.Wait()
		require.NotZero(t, m.turns.Load())
		require.NotZero(t, m.answers.Load())
		require.NotZero(t, m.errors.Load())
		require.Empty(t, m.queue.lines)
	})
}

type mixture struct {
	t     *testing.T
	queue queue

	clock                  atomic.Int64    // orders questions and joins
	inTurn                 [3]atomic.Int32 // for each key
	turns, answers, errors atomic.Int32
}

func (m *mixture) caller() {
	m.pass(100 * time.Millisecond)
	ctx, cancel := context.WithTimeout(m.t.Context(), rand.N(50*time.Millisecond)+time.Millisecond)
	defer cancel()
	c := waiting(rand.N(50 * time.Millisecond))
	key := rand.IntN(len(m.inTurn))
	c.id.key = strconv.Itoa(key)
	c.refuse, c.fingerprint = rand.IntN(4) == 0, Fingerprint{byte(rand.IntN(2))}

	came := m.clock.Add(1)
	p := m.queue.join(c.id)
	answer, err := p.await(ctx, c)
	switch {
	case err != nil:
		m.errors.Add(1)
	case answer != nil:
		m.answers.Add(1)
		if answer.CreatedAt.UnixNano() < came {
			m.t.Error("the answer is older than the request")
		}
	default:
		m.turn(p, c, &m.inTurn[key])
	}
}

func (m *mixture) turn(p *place, c *call, inTurn *atomic.Int32) {
	m.turns.Add(1)
	if inTurn.Add(1) != 1 {
		m.t.Error("two callers have their turn at once")
	}
	p.asks()
	answer := &row{CreatedAt: time.Unix(0, m.clock.Add(1)), SecondsLeft: 60}
	if rand.IntN(2) == 0 {
		p.runs(c.fingerprint)
	}
	m.pass(3 * time.Millisecond)
	if rand.IntN(2) == 0 {
		answer = nil
	}
	inTurn.Add(-1)
	p.leave(answer)
}

// pass lets some of the bubble's time pass.
func (m *mixture) pass(limit time.Duration) { <-time.After(rand.N(limit)) }
