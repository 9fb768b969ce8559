package idemtx

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// swept is how long it takes to delete n batches of a second each and one that is not
// full.
func swept(t *testing.T, n int) time.Duration {
	t.Helper()
	began := time.Now()
	require.NoError(t, paced(t.Context(), func() (full bool, err error) {
		<-time.After(time.Second)
		n--
		return n >= 0, nil
	}))
	return time.Since(began)
}

func TestSweepRests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		require.Equal(t, 1*time.Second, swept(t, 0), "nobody waits for the end of a rest")
		require.Equal(t, 5*time.Second, swept(t, 1))
		require.Equal(t, 4*100*time.Second+time.Second, swept(t, 100))
	})
}

// What expires faster than a sweeper deletes that rests is deleted by one that does not.
func TestSweepThatDoesNotCatchUpRestsNoMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calm := int(sweepCalm / (4 * time.Second))
		require.Equal(t, sweepCalm+time.Second, swept(t, calm))
		require.Equal(t, sweepCalm+1000*time.Second+time.Second, swept(t, calm+1000))
		require.Equal(t, 5*time.Second, swept(t, 1), "the next one rests again")
	})
}

func TestSweepEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		err := paced(ctx, func() (full bool, err error) {
			cancel()
			<-time.After(time.Second)
			return true, nil
		})
		require.ErrorIs(t, err, context.Canceled, "in the middle of a rest")
		broken := errors.New("the database is gone")
		require.Equal(t, broken, paced(t.Context(), func() (full bool, err error) { return true, broken }))
	})
}

// Rounds become rarer while they fail, up to a bound, and no two replicas keep step.
func TestRounds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		var began []time.Time
		err := rounds(ctx, 10*time.Second, func() error {
			began = append(began, time.Now())
			switch len(began) {
			case 8, 9:
				return nil
			case 12:
				stop()
			}
			return errors.New("no server")
		})
		require.ErrorIs(t, err, context.Canceled)
		exact := 0
		for i, times := range []time.Duration{2, 4, 8, 16, 16, 16, 16, 1, 1, 2, 4} {
			usual, waited := times*10*time.Second, began[i+1].Sub(began[i])
			require.InDelta(t, usual.Seconds(), waited.Seconds(), usual.Seconds()/10, i)
			if waited == usual {
				exact++
			}
		}
		require.Less(t, exact, 11, "nothing differs")
	})
}
