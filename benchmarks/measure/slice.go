// Package measure lets contenders take turns, so that a machine that is busy for
// a moment is so for all of them, and tells how they compare.
package measure

import (
	"context"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// longest is the latency beyond which all are the same.
const longest = 10 * time.Minute

// Slice is what a contender did in its turn.
type Slice struct {
	Done    int
	Failed  int
	Failure error // one of them
	Elapsed time.Duration
	Latency *hdrhistogram.Histogram // of what was done, in nanoseconds, to 1 percent
}

// Throughput is what was done in a second.
func (s Slice) Throughput() float64 { return float64(s.Done) / s.Elapsed.Seconds() }

// Percentile is of the latency.
func (s Slice) Percentile(p float64) time.Duration {
	return time.Duration(s.Latency.ValueAtPercentile(p))
}

// Recorder is told what one client does. It may do several things at once.
type Recorder struct {
	mu    sync.Mutex
	slice Slice
}

func newRecorder() *Recorder {
	return &Recorder{slice: Slice{Latency: hdrhistogram.New(1, longest.Nanoseconds(), 2)}}
}

// Time measures do.
func (r *Recorder) Time(do func() error) {
	begun := time.Now()
	err := do()
	took := time.Since(begun)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.slice.Failed++
		r.slice.Failure = err
		return
	}
	r.slice.Done++
	_ = r.slice.Latency.RecordValue(min(took, longest).Nanoseconds()) // it is within the bounds
}

// Run lets so many clients do what a turn consists of, over and over, until the
// time is over. What has begun by then is finished, and counted.
func Run(ctx context.Context, duration time.Duration, clients int, turn func(context.Context, *Recorder)) Slice {
	begun := time.Now()
	recorders := make([]*Recorder, clients)
	var all sync.WaitGroup
	for i := range recorders {
		recorders[i] = newRecorder()
		all.Go(func() {
			for ctx.Err() == nil && time.Since(begun) < duration {
				turn(ctx, recorders[i])
			}
		})
	}
	all.Wait()
	slices := make([]Slice, clients)
	for i, r := range recorders {
		slices[i] = r.slice
	}
	whole := Merge(slices)
	whole.Elapsed = time.Since(begun)
	return whole
}

// Merge is several slices as one.
func Merge(slices []Slice) Slice {
	whole := newRecorder().slice
	for _, s := range slices {
		whole.Done += s.Done
		whole.Failed += s.Failed
		if s.Failure != nil {
			whole.Failure = s.Failure
		}
		whole.Elapsed += s.Elapsed
		whole.Latency.Merge(s.Latency)
	}
	return whole
}
