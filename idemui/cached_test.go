package idemui

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	testConfig = Config{Timeout: 2 * time.Second, CountEvery: 5 * time.Second}
	patient    = Config{Timeout: time.Hour, CountEvery: time.Hour}
)

// slow answers how often it was asked, and takes a while.
type slow struct {
	takes time.Duration
	asked int
}

func (s *slow) ask(ctx context.Context) (int, error) {
	s.asked++
	select {
	case <-time.After(s.takes):
		return s.asked, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func TestAnAnswerIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c cached[int]
		s := &slow{takes: time.Millisecond}
		get := func() int { return c.get(t.Context(), testConfig, s.ask).Value }
		assert.Equal(t, 1, get())
		wait(testConfig.CountEvery - time.Millisecond)
		assert.Equal(t, 1, get())
		wait(time.Millisecond)
		assert.Equal(t, 2, get())
	})
}

// Readers must not make the database count all the time what takes it long.
func TestAnAnswerThatTookLongIsKeptLonger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c cached[int]
		s := &slow{takes: time.Second}
		get := func() int { return c.get(t.Context(), testConfig, s.ask).Value }
		assert.Equal(t, 1, get())
		wait(rests*time.Second - time.Millisecond)
		assert.Equal(t, 1, get())
		wait(time.Millisecond)
		assert.Equal(t, 2, get())
	})
}

func TestAQuestionIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c cached[int]
		s := &slow{takes: time.Hour}
		a := c.get(t.Context(), testConfig, s.ask)
		require.ErrorIs(t, a.Err, context.DeadlineExceeded)
		assert.Equal(t, testConfig.Timeout, a.Took)
		wait(testConfig.CountEvery)
		c.get(t.Context(), testConfig, s.ask)
		assert.Equal(t, 1, s.asked, "what takes too long is not tried again at once")
	})
}

// A reader who goes must not leave those behind him without an answer.
func TestAnAnswerIsForAll(t *testing.T) {
	t.Parallel()
	var c cached[int]
	asked, finish, count := make(chan struct{}), make(chan struct{}), 0
	ask := func(ctx context.Context) (int, error) {
		count++
		close(asked)
		<-finish
		return count, ctx.Err()
	}
	reader, leave := context.WithCancel(t.Context())
	answers := make(chan answer[int], 9)
	go func() { answers <- c.get(reader, patient, ask) }()
	<-asked
	leave()
	for range 8 {
		go func() { answers <- c.get(t.Context(), patient, ask) }()
	}
	close(finish)
	for range 9 {
		a := <-answers
		require.NoError(t, a.Err)
		assert.Equal(t, 1, a.Value)
	}
}

func TestAnErrorIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c cached[int]
		broken, asked := errors.New("broken"), 0
		ask := func(context.Context) (int, error) { asked++; return 0, broken }
		for range 3 {
			require.ErrorIs(t, c.get(t.Context(), testConfig, ask).Err, broken)
		}
		assert.Equal(t, 1, asked)
	})
}

// wait lets time go by in a bubble, where it takes none.
func wait(d time.Duration) { <-time.After(d) }
