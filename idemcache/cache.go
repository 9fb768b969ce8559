// Package idemcache is a memory for replies in the process, for [idemtx.Config.Cache]:
// a replay that is found in it does without the database. See [idemtx.Cache] for what
// that costs, and what not.
package idemcache

import (
	"cmp"
	"errors"
	"math"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/idemtx/idemtx/idemtx"
)

// Config says how much a [Cache] keeps. The zero value is a good one.
type Config struct {
	// MaxBytes is about how much memory the replies may take. What is the least likely
	// to be asked for again is forgotten first. A reply that alone would take more is
	// not kept.
	//
	// Defaults to 64 MiB.
	MaxBytes int64

	// MaxAge is how long a reply is kept at most; its own expiry may come sooner. It is
	// how long a reply can be replayed whose row was deleted by hand, or lost in a
	// failover. Clients repeat a request within seconds, so that little is won by more.
	//
	// Defaults to one minute.
	MaxAge time.Duration
}

// Cache is an [idemtx.Cache] of bounded size. It has a goroutine that forgets what is
// too old, until [Cache.Close].
type Cache struct {
	entries *otter.Cache[uint64, entry]
}

var _ idemtx.Cache = (*Cache)(nil)

type entry struct {
	value any
	bytes uint32
}

// New returns an empty cache. A negative bound is an error.
func New(config Config) (*Cache, error) {
	if config.MaxBytes < 0 || config.MaxAge < 0 {
		return nil, errors.New("idemcache: neither Config.MaxBytes nor Config.MaxAge may be negative")
	}
	entries, err := otter.New(&otter.Options[uint64, entry]{
		MaximumWeight:    uint64(cmp.Or(config.MaxBytes, 64<<20)),
		Weigher:          func(_ uint64, e entry) uint32 { return e.bytes },
		ExpiryCalculator: otter.ExpiryWriting[uint64, entry](cmp.Or(config.MaxAge, time.Minute)),
	})
	if err != nil {
		return nil, err
	}
	return &Cache{entries}, nil
}

// Get returns what was last set under key, unless it was forgotten.
func (c *Cache) Get(key uint64) (value any, ok bool) {
	e, ok := c.entries.GetIfPresent(key)
	return e.value, ok
}

// Set keeps a value that takes about so many bytes.
func (c *Cache) Set(key uint64, value any, bytes int) {
	c.entries.Set(key, entry{value, uint32(min(max(bytes, 0), math.MaxUint32))})
}

// Close forgets everything and ends the cache's goroutine. The cache must not be used
// any more, by a store neither.
func (c *Cache) Close() {
	c.entries.StopAllGoroutines()
	c.entries.InvalidateAll()
}
