package measure_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/benchmarks/measure"
)

func TestTheMedianIsTheMiddleAndTheQuartilesBoundItsHalf(t *testing.T) {
	t.Parallel()
	require.Equal(t, measure.Spread{Lower: 2, Median: 3, Upper: 4}, measure.SpreadOf([]float64{5, 1, 4, 2, 3}))
	require.Equal(t, measure.Spread{Lower: 1.75, Median: 2.5, Upper: 3.25}, measure.SpreadOf([]float64{4, 3, 2, 1}))
	require.Equal(t, measure.Spread{Lower: 7, Median: 7, Upper: 7}, measure.SpreadOf([]float64{7}))
	require.True(t, math.IsNaN(measure.SpreadOf(nil).Median))
}

func TestSpreadOfLeavesItsValuesInTheirOrder(t *testing.T) {
	t.Parallel()
	values := []float64{3, 1, 2}
	measure.SpreadOf(values)
	require.Equal(t, []float64{3, 1, 2}, values)
}

// turns notes who had a turn.
func turns(names ...string) (entrants []measure.Entrant, order *[]string) {
	order = new([]string)
	for i, name := range names {
		entrants = append(entrants, measure.Entrant{
			Name: name, Base: names[0],
			Slice: func(context.Context, time.Duration) measure.Slice {
				*order = append(*order, name)
				return measure.Slice{Done: 100 * (i + 1), Elapsed: time.Second}
			},
		})
	}
	return entrants, order
}

func TestEachEntrantHasOneTurnARoundInAnOrderThatIsDrawn(t *testing.T) {
	t.Parallel()
	const rounds = 50
	names := []string{"a", "b", "c", "d"}
	entrants, order := turns(names...)
	series, err := measure.Rounds(t.Context(), rounds, time.Second, entrants, nil)
	require.NoError(t, err)
	orders := make(map[string]bool)
	for round := range slices.Chunk((*order)[len(names):], len(names)) {
		orders[strings.Join(round, "")] = true
		require.Equal(t, names, slices.Sorted(slices.Values(round)))
	}
	require.Greater(t, len(orders), 1, "all rounds had the same order")
	for _, name := range names {
		require.Len(t, series.Slices[name], rounds, "what comes before the rounds must not count")
	}
}

func TestRoundsEndEarlyWhenThereIsNothingLeftToDo(t *testing.T) {
	t.Parallel()
	entrants, _ := turns("a", "b")
	series, err := measure.Rounds(t.Context(), 10, time.Second, entrants, func() bool { return true })
	require.NoError(t, err)
	require.Len(t, series.Slices["b"], 1)
}

func TestRoundsEndWithTheirContext(t *testing.T) {
	t.Parallel()
	entrants, order := turns("a", "b")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := measure.Rounds(ctx, 10, time.Second, entrants, nil)
	require.ErrorIs(t, err, context.Canceled)
	require.LessOrEqual(t, len(*order), 3)
}

func TestRatiosAreTakenWithinARound(t *testing.T) {
	t.Parallel()
	second := func(done ...int) (slices []measure.Slice) {
		for _, n := range done {
			slices = append(slices, measure.Slice{Done: n, Elapsed: time.Second})
		}
		return slices
	}
	series := measure.Series{Slices: map[string][]measure.Slice{
		"a": second(100, 10, 0), "b": second(50, 20, 5),
	}}
	require.Equal(t, []float64{0.5, 2}, series.Ratios("b", "a", measure.Slice.Throughput),
		"a round in which the base did nothing says nothing")
	require.Equal(t, []float64{50, 20, 5}, series.Throughputs("b"))
}

func TestRunCountsWhatFailsApartFromWhatIsDone(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	failure := errors.New("failed")
	ctx, cancel := context.WithCancel(t.Context())
	slice := measure.Run(ctx, time.Hour, 4, func(_ context.Context, r *measure.Recorder) {
		r.Time(func() error {
			if i := n.Add(1); i == 100 {
				cancel()
			} else if i%2 == 0 {
				return failure
			}
			return nil
		})
	})
	require.Equal(t, int(n.Load()), slice.Done+slice.Failed)
	require.GreaterOrEqual(t, slice.Failed, 49)
	require.ErrorIs(t, slice.Failure, failure)
	require.EqualValues(t, slice.Done, slice.Latency.TotalCount())
	require.Positive(t, slice.Throughput())
}

func TestPercentilesAreThoseOfAllSlicesTogether(t *testing.T) {
	t.Parallel()
	var parts []measure.Slice
	for i := range 100 {
		part := measure.Run(t.Context(), 0, 1, nil)
		require.NoError(t, part.Latency.RecordValue(int64(i+1)*1_000_000))
		parts = append(parts, part)
	}
	whole := measure.Merge(parts)
	require.InEpsilon(t, 50*time.Millisecond, whole.Percentile(50), 0.011)
	require.InEpsilon(t, 99*time.Millisecond, whole.Percentile(99), 0.011)
}
