package idemcache_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemcache"
)

func open(t *testing.T, config idemcache.Config) *idemcache.Cache {
	t.Helper()
	c, err := idemcache.New(config)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func TestKeepsWhatWasSetLast(t *testing.T) {
	t.Parallel()
	c := open(t, idemcache.Config{})
	_, ok := c.Get(1)
	require.False(t, ok)
	c.Set(1, "one", 10)
	c.Set(1, "another", 10)
	value, ok := c.Get(1)
	require.True(t, ok)
	require.Equal(t, "another", value)
}

func TestTakesNoMoreMemoryThanItMay(t *testing.T) {
	t.Parallel()
	c := open(t, idemcache.Config{MaxBytes: 1000})
	for key := range uint64(100) {
		c.Set(key, key, 100)
	}
	c.Set(1000, "too large", 1001)
	require.Eventually(t, func() bool { // it is forgotten behind the caller's back
		if _, ok := c.Get(1000); ok {
			return false
		}
		kept := 0
		for key := range uint64(100) {
			if _, ok := c.Get(key); ok {
				kept++
			}
		}
		return kept <= 10
	}, time.Minute, time.Millisecond)
}

func TestForgetsWhatIsTooOld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, err := idemcache.New(idemcache.Config{MaxAge: time.Minute})
		require.NoError(t, err)
		defer c.Close()
		c.Set(1, "one", 10)
		<-time.After(59 * time.Second)
		_, ok := c.Get(1)
		require.True(t, ok)
		<-time.After(2 * time.Second)
		_, ok = c.Get(1)
		require.False(t, ok)
	})
}

func TestClosedForgets(t *testing.T) {
	t.Parallel()
	c, err := idemcache.New(idemcache.Config{})
	require.NoError(t, err)
	c.Set(1, "one", 10)
	c.Close()
	_, ok := c.Get(1)
	require.False(t, ok)
}

func TestNegativeBoundsAreErrors(t *testing.T) {
	t.Parallel()
	for _, config := range []idemcache.Config{{MaxBytes: -1}, {MaxAge: -1}} {
		_, err := idemcache.New(config)
		require.Error(t, err)
	}
}
