package idemhttp_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
)

// waited returns the times between the attempts, of a clock that is exact.
func (w *wire) waited() []time.Duration {
	var waits []time.Duration
	for i := 1; i < len(w.attempts); i++ {
		waits = append(waits, w.attempts[i].at.Sub(w.attempts[i-1].at))
	}
	return waits
}

func TestTransportWaitsLongerEachTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const ms = time.Millisecond
		seen := map[time.Duration]bool{}
		for range 200 {
			w := answers(503)
			_, err := trip(&idemhttp.Transport{Base: w}, order(t))
			require.NoError(t, err)
			require.Len(t, w.attempts, 5)
			for i, wait := range w.waited() {
				require.GreaterOrEqual(t, wait, 200*ms<<i)
				require.LessOrEqual(t, wait, 600*ms<<i)
				seen[wait] = true
			}
		}
		require.Greater(t, len(seen), 700, "waits are random")
	})
}

func TestTransportWaitsWithinBounds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, bounds := range [][2]time.Duration{
			{time.Second, time.Minute},
			{10 * time.Second, 20 * time.Second},
			{time.Second, 2 * time.Second},
			{time.Second, time.Second},
			{time.Nanosecond, time.Nanosecond},
		} {
			seen := map[time.Duration]bool{}
			for range 50 {
				w := answers(503)
				transport := &idemhttp.Transport{Base: w, MinWait: bounds[0], MaxWait: bounds[1], MaxAttempts: 20}
				_, err := trip(transport, order(t))
				require.NoError(t, err)
				require.Len(t, w.attempts, 20)
				for _, wait := range w.waited() {
					require.GreaterOrEqual(t, wait, bounds[0])
					require.LessOrEqual(t, wait, bounds[1])
					seen[wait] = true
				}
			}
			if 3*bounds[0] <= bounds[1] {
				require.Greater(t, len(seen), 900, "of 950: waits are random at the bounds too")
			}
		}
	})
}

func TestTransportWaitsForRetryAfter(t *testing.T) {
	t.Parallel()
	const format = http.TimeFormat
	for name, test := range map[string]struct {
		value   func(now time.Time) string
		date    func(now time.Time) string
		atLeast time.Duration
		atMost  time.Duration
	}{
		"seconds": {
			value:   func(time.Time) string { return "20" },
			atLeast: 20 * time.Second, atMost: 20 * time.Second,
		},
		"a date": {
			value:   func(now time.Time) string { return now.Add(20 * time.Second).Format(format) },
			atLeast: 20 * time.Second, atMost: 20 * time.Second,
		},
		"an old form of date": {
			value:   func(now time.Time) string { return now.Add(20 * time.Second).Format(time.ANSIC) },
			atLeast: 20 * time.Second, atMost: 20 * time.Second,
		},
		"a date by a clock that is wrong": {
			value:   func(now time.Time) string { return now.Add(time.Hour + 20*time.Second).Format(format) },
			date:    func(now time.Time) string { return now.Add(time.Hour).Format(format) },
			atLeast: 20 * time.Second, atMost: 20 * time.Second,
		},
		"less than the backoff": {
			value:   func(time.Time) string { return "1" },
			atLeast: 5 * time.Second, atMost: 15 * time.Second,
		},
		"the past": {
			value:   func(now time.Time) string { return now.Add(-time.Hour).Format(format) },
			atLeast: 5 * time.Second, atMost: 15 * time.Second,
		},
		"nonsense": {
			value:   func(time.Time) string { return "20 seconds" },
			atLeast: 5 * time.Second, atMost: 15 * time.Second,
		},
		"the bound": {
			value:   func(time.Time) string { return "30" },
			atLeast: 30 * time.Second, atMost: 30 * time.Second,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := answers(503, 201)
				now := time.Now().UTC()
				header := map[string]string{"Retry-After": test.value(now)}
				if test.date != nil {
					header["Date"] = test.date(now)
				}
				w.outcomes[0].header = header
				status, err := trip(&idemhttp.Transport{Base: w, MinWait: 5 * time.Second}, order(t))
				require.NoError(t, err)
				require.Equal(t, 201, status)
				require.GreaterOrEqual(t, w.waited()[0], test.atLeast)
				require.LessOrEqual(t, w.waited()[0], test.atMost)
			})
		})
	}
}

func TestTransportDoesNotWaitForTooLong(t *testing.T) {
	t.Parallel()
	for _, asked := range []string{
		"31",
		"99999999999",
		"18446744073709551615",
		"99999999999999999999999999",
		"Fri, 31 Dec 9999 23:59:59 GMT",
	} {
		t.Run(asked, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := answers(503, 201)
				w.outcomes[0].header = map[string]string{"Retry-After": asked}
				start := time.Now()
				status, err := trip(&idemhttp.Transport{Base: w}, order(t))
				require.NoError(t, err)
				require.Equal(t, 503, status)
				require.Zero(t, time.Since(start))
			})
		})
	}
}

// TestTransportDoesNotWaitInVain: what would come after the deadline is not
// waited for.
func TestTransportDoesNotWaitInVain(t *testing.T) {
	t.Parallel()
	last := errors.New("last")
	for name, o := range map[string]outcome{
		"response":    {status: 503},
		"error":       {err: last},
		"Retry-After": {status: 503, header: map[string]string{"Retry-After": "10"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				minWait := 10 * time.Second
				if o.header != nil {
					minWait = time.Second
				}
				w := &wire{outcomes: []outcome{o}}
				start := time.Now()
				status, err := trip(&idemhttp.Transport{Base: w, MinWait: minWait}, order(t).WithContext(ctx))
				require.Equal(t, o.err, err)
				require.Equal(t, o.status, status)
				require.Len(t, w.attempts, 1)
				require.Zero(t, time.Since(start))
			})
		})
	}
}

// TestTransportClientTimeoutIsForAll attempts: the client stops them all, and
// says what has happened to the last.
func TestTransportClientTimeoutIsForAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &wire{outcomes: []outcome{{err: io.EOF}}}
		client := &http.Client{
			Transport: &idemhttp.Transport{Base: w, MinWait: 10 * time.Second, MaxWait: 10 * time.Second, MaxAttempts: 100},
			Timeout:   35 * time.Second,
		}
		response, err := client.Do(order(t))
		if err == nil {
			defer response.Body.Close()
		}
		require.ErrorIs(t, err, io.EOF)
		require.Len(t, w.attempts, 4)
	})
}

// TestTransportStopsWaitingWhenTheContextEnds. That nothing is left behind is
// what synctest sees to: a goroutine would be reported.
func TestTransportStopsWaitingWhenTheContextEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("the user has gone")
		for given, want := range map[error]error{nil: context.Canceled, cause: cause} {
			ctx, cancel := context.WithCancelCause(t.Context())
			w := answers(503, 201)
			r := order(t).WithContext(ctx)
			ended := make(chan error)
			go func() {
				_, err := trip(&idemhttp.Transport{Base: w}, r)
				ended <- err
			}()
			synctest.Wait()
			require.True(t, w.responses[0].closed.Load(), "the connection is free while it waits")
			start := time.Now()
			cancel(given)
			require.ErrorIs(t, <-ended, want)
			require.Zero(t, time.Since(start))
			require.Len(t, w.attempts, 1)
		}
	})
}

// TestTransportEndsWithTheContext: what Base makes of it is returned, and not
// tried again.
func TestTransportEndsWithTheContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	broken := errors.New("use of closed connection")
	_, err := trip(quick(roundTripper(func(*http.Request) (*http.Response, error) {
		calls++
		cancel()
		return nil, broken
	})), order(t).WithContext(ctx))
	require.Equal(t, broken, err)
	require.Equal(t, 1, calls)
}
