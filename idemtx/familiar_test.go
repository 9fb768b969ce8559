package idemtx

import (
	"math"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAFamiliarKeyIsForgotten(t *testing.T) {
	t.Parallel()
	var f familiar
	for _, key := range []int64{1, -1, 1 << 40, math.MaxInt64, math.MinInt64} {
		require.False(t, f.has(key))
		f.note(key)
		require.True(t, f.has(key))
		f.forget(key)
		require.False(t, f.has(key))
		f.forget(key)
		f.note(key)
		require.True(t, f.has(key))
	}
}

// Keys that agree in their lowest bits have one place, which the last one has. It is
// not lost to one that is forgotten late.
func TestKeysWithOnePlaceTakeItFromEachOther(t *testing.T) {
	t.Parallel()
	var f familiar
	one, two := int64(7), int64(7+1<<40)
	f.note(one)
	require.False(t, f.has(two))
	f.note(two)
	require.False(t, f.has(one))
	f.forget(one)
	require.True(t, f.has(two))
}

func TestNeighborsDoNotDisturbEachOther(t *testing.T) {
	t.Parallel()
	var f familiar
	for key := range int64(len(f.places)) {
		f.note(key - 100)
	}
	for key := range int64(len(f.places)) {
		require.True(t, f.has(key-100))
	}
}

func TestFamiliarKeysAreSharedByGoroutines(t *testing.T) {
	t.Parallel()
	var f familiar
	var all sync.WaitGroup
	for g := range int64(100) {
		all.Go(func() {
			for key := range int64(100) {
				f.note(key + g<<40)
				f.has(key)
				f.forget(key)
			}
		})
	}
	all.Wait()
	f.note(1)
	require.True(t, f.has(1))
}

// A strange key is not asked about: the call has no place, and whoever asks without
// one panics.
func TestAStrangeKeyIsNotPeekedAt(t *testing.T) {
	t.Parallel()
	s := unconnected(t, Config{})
	c, _ := callOf(s, "k")
	answer, err := s.peek(t.Context(), c)
	require.NoError(t, err)
	require.Nil(t, answer)
	s.familiar.note(c.keyLock)
	require.Panics(t, func() { _, _ = s.peek(t.Context(), c) })
}

// What comes after the look meets the same server, and tells what is wrong with it.
func TestALookThatFailsIsNoAnswer(t *testing.T) {
	t.Parallel()
	s := unconnected(t, Config{})
	c, _ := callOf(s, "k")
	s.familiar.note(c.keyLock)
	c.place = s.queue.join(c.id)
	answer, err := s.peek(t.Context(), c)
	require.NoError(t, err)
	require.Nil(t, answer)
	require.True(t, s.familiar.has(c.keyLock)) // for all that is known
}
