package idemtx

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// notebook is a Cache that forgets nothing.
type notebook struct {
	mu     sync.Mutex
	values map[uint64]any
	bytes  []int
}

func (n *notebook) Get(key uint64) (any, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	value, ok := n.values[key]
	return value, ok
}

func (n *notebook) Set(key uint64, value any, bytes int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.values == nil {
		n.values = make(map[uint64]any)
	}
	n.values[key] = value
	n.bytes = append(n.bytes, bytes)
}

// callOf is a call under a key, and the row of its answer.
func callOf(s *Store, key string) (*call, *row) {
	c := &call{id: keyID{"scope", key}, fingerprint: Fingerprint{1}}
	c.keyLock = keyLock(s.config.Schema, s.config.Table, c.id)
	return c, &row{Fingerprint: c.fingerprint[:], Response: []byte("1"), SecondsLeft: 60}
}

func TestAnAnswerIsRecalledForTheSameRequestAlone(t *testing.T) {
	t.Parallel()
	shared := new(notebook)
	s := unconnected(t, Config{Cache: shared})
	c, r := callOf(s, "k")
	require.Nil(t, s.recall(c))
	s.remember(c, r, time.Now())
	require.Same(t, r, s.recall(c))

	// That the key of the cache is the same does not mean that the rest is.
	for what, other := range map[string]call{
		"another key":     {id: keyID{c.id.scope, "another"}, fingerprint: c.fingerprint, keyLock: c.keyLock},
		"another scope":   {id: keyID{"another", c.id.key}, fingerprint: c.fingerprint, keyLock: c.keyLock},
		"another request": {id: c.id, fingerprint: Fingerprint{2}, keyLock: c.keyLock},
		"another place":   {id: c.id, fingerprint: c.fingerprint, keyLock: c.keyLock + 1},
	} {
		require.Nil(t, s.recall(&other), what)
	}
	require.Nil(t, unconnected(t, Config{Cache: shared}).recall(c), "another store's answer")
	require.Nil(t, unconnected(t, Config{}).recall(c), "there is no cache")
	require.Same(t, r, s.recall(c))
}

// Two keys on one number of 64 bits take the place from each other, and are not
// given each other's answers.
func TestACollisionIsAMiss(t *testing.T) {
	t.Parallel()
	s := unconnected(t, Config{Cache: new(notebook)})
	one, oneRow := callOf(s, "one")
	two, twoRow := callOf(s, "two")
	two.keyLock = one.keyLock
	s.remember(one, oneRow, time.Now())
	require.Nil(t, s.recall(two))
	s.remember(two, twoRow, time.Now())
	require.Same(t, twoRow, s.recall(two))
	require.Nil(t, s.recall(one))
}

func TestAStrangersValueIsAMiss(t *testing.T) {
	t.Parallel()
	shared := new(notebook)
	s := unconnected(t, Config{Cache: shared})
	c, _ := callOf(s, "k")
	for _, value := range []any{nil, "of another", memory{}, &row{}} {
		shared.Set(uint64(c.keyLock), value, 0)
		require.Nil(t, s.recall(c))
	}
}

// What is left of a row is counted from before it was asked for.
func TestAnAnswerIsNotRecalledAfterItsEnd(t *testing.T) {
	t.Parallel()
	s := unconnected(t, Config{Cache: new(notebook)})
	c, r := callOf(s, "k")
	synctest.Test(t, func(t *testing.T) {
		_, err := s.recalled(t.Context(), c, func(context.Context, *call) (result, error) {
			<-time.After(10 * time.Second)
			return result{row: r}, nil
		})
		require.NoError(t, err)
		<-time.After(50*time.Second - time.Nanosecond)
		require.Same(t, r, s.recall(c))
		<-time.After(time.Nanosecond) // a row that ends at this moment is dead
		require.Nil(t, s.recall(c))
	})
}

// shifted is a moment at which the monotonic clock shows more than at t, and the
// other the same.
func shifted(t *testing.T, moment time.Time, by time.Duration) time.Time {
	t.Helper()
	later := moment
	*(*int64)(unsafe.Add(unsafe.Pointer(&later), unsafe.Sizeof(uint64(0)))) += int64(by)
	require.Equal(t, by, later.Sub(moment))
	require.True(t, moment.Round(0).Equal(later.Round(0)))
	return later
}

// The clock may be set back, and the monotonic one may have stood still.
func TestARowEndsByTheClockThatIsAhead(t *testing.T) {
	t.Parallel()
	now := time.Now()
	m := &memory{until: now.Add(time.Minute)}
	require.False(t, m.over(now))
	require.False(t, m.over(now.Add(time.Minute-1)))
	require.True(t, m.over(now.Add(time.Minute)))

	require.True(t, m.over(shifted(t, now, time.Minute)), "the clock was set back")
	require.True(t, m.over(shifted(t, now.Add(time.Minute), -time.Minute)), "the machine was suspended")
	require.False(t, m.over(shifted(t, now, time.Minute-1)))
}

func TestWhatIsNotRemembered(t *testing.T) {
	t.Parallel()
	for what, test := range map[string]struct {
		change func(*row)
		err    error
	}{
		"a failure":                       {func(*row) {}, errors.New("broken")},
		"what may not be stored":          {func(*row) {}, ErrOutcomeUnknown},
		"a row whose end is not known":    {func(r *row) { r.SecondsLeft = 0 }, nil},
		"a row that expired on the way":   {func(r *row) { r.SecondsLeft = -0.1 }, nil},
		"a row that expires this instant": {func(r *row) { r.SecondsLeft = 1e-10 }, nil},
	} {
		cache := new(notebook)
		s := unconnected(t, Config{Cache: cache})
		c, r := callOf(s, "k")
		test.change(r)
		res, err := s.recalled(t.Context(), c, func(context.Context, *call) (result, error) {
			return result{row: r}, test.err
		})
		require.ErrorIs(t, err, test.err, what)
		require.Same(t, r, res.row, what)
		require.Empty(t, cache.values, what)
		require.Equal(t, test.err == nil, s.familiar.has(c.keyLock), what)
	}
}

// As without a cache.
func TestACallThatIsOverIsNotAnswered(t *testing.T) {
	t.Parallel()
	s := unconnected(t, Config{Cache: new(notebook)})
	c, r := callOf(s, "k")
	s.remember(c, r, time.Now())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.recalled(ctx, c, func(context.Context, *call) (result, error) {
		panic("it runs")
	})
	require.ErrorIs(t, err, context.Canceled)
}

// A row that had to be confirmed is as good as any by now. To look at it would be in
// vain, because it would have to be confirmed again.
func TestAConfirmedAnswerIsRememberedAndNotFamiliar(t *testing.T) {
	t.Parallel()
	s := unconnected(t, Config{Cache: new(notebook)})
	c, r := callOf(s, "k")
	r.Unconfirmed = true
	s.remember(c, r, time.Now())
	require.Same(t, r, s.recall(c))
	require.False(t, s.familiar.has(c.keyLock))
}

// The cache is told of everything whose size a client decides on.
func TestTheCacheIsToldHowMuchItKeeps(t *testing.T) {
	t.Parallel()
	cache := new(notebook)
	s := unconnected(t, Config{Cache: cache})
	for _, change := range []func(c *call, r *row){
		func(*call, *row) {},
		func(c *call, _ *row) { c.id.key = strings.Repeat("k", 101) },
		func(c *call, _ *row) { c.id.scope = strings.Repeat("s", 105) },
		func(_ *call, r *row) { r.Response = make([]byte, 101) },
		func(_ *call, r *row) { r.Body = make([]byte, 100) },
	} {
		c, r := callOf(s, "k")
		change(c, r)
		s.remember(c, r, time.Now())
	}
	require.Len(t, cache.bytes, 5)
	for _, bytes := range cache.bytes[1:] {
		require.Equal(t, cache.bytes[0]+100, bytes)
	}
}
