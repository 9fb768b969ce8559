package idemui

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

func TestRecorderTellsWhichCallsAreInFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := new(Recorder)
		outer := r.TraceStart(t.Context(), idemtx.TraceStartData{Mode: idemtx.ModeDo, Operation: "POST /orders"})
		wait(time.Second)
		inner := r.TraceStart(outer, idemtx.TraceStartData{Mode: idemtx.ModeDoPool, Operation: "POST /mails"})

		oldest, all := r.inFlight(10)
		assert.Equal(t, 2, all)
		require.Len(t, oldest, 2)
		assert.Equal(t, "POST /orders", oldest[0].operation)
		assert.Equal(t, idemtx.ModeDoPool, oldest[1].mode)
		assert.Equal(t, time.Second, oldest[1].since.Sub(oldest[0].since))

		r.TraceEnd(outer, idemtx.TraceEndData{Outcome: idemtx.OutcomeFirst})
		oldest, all = r.inFlight(10)
		assert.Equal(t, 1, all)
		assert.Equal(t, "POST /mails", oldest[0].operation, "the call that has ended is the outer one")
		r.TraceEnd(inner, idemtx.TraceEndData{Outcome: idemtx.OutcomeFirst})
		_, all = r.inFlight(10)
		assert.Zero(t, all)
	})
}

func TestRecorderIsBounded(t *testing.T) {
	t.Parallel()
	r := new(Recorder)
	var contexts []context.Context
	for range maxFlights + 10 {
		contexts = append(contexts, r.TraceStart(t.Context(), idemtx.TraceStartData{Operation: strings.Repeat("ö", 1000)}))
	}
	oldest, all := r.inFlight(maxFlights * 2)
	assert.Len(t, oldest, maxFlights)
	assert.Equal(t, maxFlights+10, all)
	assert.LessOrEqual(t, len(oldest[0].operation), maxShort)
	assert.True(t, strings.HasSuffix(oldest[0].operation, "ö…"), "a character is not cut in two")
	for _, ctx := range contexts {
		r.TraceEnd(ctx, idemtx.TraceEndData{Outcome: idemtx.OutcomeFirst})
	}
	_, all = r.inFlight(1)
	assert.Zero(t, all)
	assert.Len(t, r.hour.seconds, secondsKept)
}

// tracer is one to pass on to. It changes the context, as tracers do.
type tracer struct {
	started []idemtx.TraceStartData
	ended   []idemtx.TraceEndData
	swept   []idemtx.TraceSweepData
}

func (tr *tracer) TraceSweep(_ context.Context, data idemtx.TraceSweepData) {
	tr.swept = append(tr.swept, data)
}

type marked struct{}

func (tr *tracer) TraceStart(ctx context.Context, data idemtx.TraceStartData) context.Context {
	tr.started = append(tr.started, data)
	return context.WithValue(ctx, marked{}, "by Next")
}

func (tr *tracer) TraceEnd(ctx context.Context, data idemtx.TraceEndData) {
	if ctx.Value(marked{}) == "by Next" {
		tr.ended = append(tr.ended, data)
	}
}

func TestRecorderPassesOn(t *testing.T) {
	t.Parallel()
	next := new(tracer)
	r := &Recorder{Next: &Recorder{Next: next}} // one in a chain does not take the other's calls
	begin := idemtx.TraceStartData{Mode: idemtx.ModeDoTx, Operation: "POST /orders"}
	end := idemtx.TraceEndData{Outcome: idemtx.OutcomeReplayed, Attempts: 3, Waited: time.Second}
	ctx := r.TraceStart(t.Context(), begin)
	assert.Equal(t, "by Next", ctx.Value(marked{}), "the handler has what Next put into the context")
	r.TraceEnd(ctx, end)
	assert.Equal(t, []idemtx.TraceStartData{begin}, next.started)
	assert.Equal(t, []idemtx.TraceEndData{end}, next.ended)
	swept := idemtx.TraceSweepData{Deleted: 7, Duration: time.Second}
	r.TraceSweep(ctx, swept)
	assert.Equal(t, []idemtx.TraceSweepData{swept}, next.swept)
	for _, recorder := range []*Recorder{r, r.Next.(*Recorder)} {
		_, all := recorder.inFlight(1)
		assert.Zero(t, all)
	}
}

func TestRecorderKnowsTheLastSweep(t *testing.T) {
	t.Parallel()
	r := new(Recorder)
	assert.Nil(t, r.lastSweep())
	r.TraceSweep(t.Context(), idemtx.TraceSweepData{Deleted: 7, Buried: 2})
	r.TraceSweep(t.Context(), idemtx.TraceSweepData{Skipped: true})
	assert.Equal(t, int64(7), r.lastSweep().Deleted, "another replica's turn is none of ours")
	assert.Equal(t, int64(2), r.lastSweep().Buried)
	r.TraceSweep(t.Context(), idemtx.TraceSweepData{Err: context.Canceled})
	assert.True(t, r.lastSweep().Failed)
}

func TestRecorderCountsWhatLostItsContext(t *testing.T) {
	t.Parallel()
	r := new(Recorder)
	r.TraceEnd(t.Context(), idemtx.TraceEndData{Outcome: "not known yet"})
	minutes := r.lastHour(time.Now())
	assert.Equal(t, 1, minutes[len(minutes)-1].tally.total()+minutes[len(minutes)-2].tally.total())
	_, all := r.inFlight(1)
	assert.Zero(t, all)
}

func TestRecorderIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	r := new(Recorder)
	var calls sync.WaitGroup
	for range 8 {
		calls.Go(func() {
			for range 200 {
				ctx := r.TraceStart(t.Context(), idemtx.TraceStartData{})
				r.inFlight(5)
				r.lastHour(time.Now())
				r.TraceEnd(ctx, idemtx.TraceEndData{Outcome: idemtx.OutcomeFirst})
			}
		})
	}
	calls.Wait()
	var all tally
	for _, m := range r.lastHour(time.Now()) {
		all.add(m.tally)
	}
	assert.Equal(t, 1600, all.of(idemtx.OutcomeFirst))
}

// No name of an operation breaks the call that it is of.
func TestOperationOfNoText(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "…", short(strings.Repeat("\x80", 200)))
	assert.Len(t, short(strings.Repeat("x", 200)), maxShort)
}
