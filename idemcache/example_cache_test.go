package idemcache_test

import (
	"fmt"

	"github.com/idemtx/idemtx/idemcache"
)

// The zero Config is a good one.
func ExampleNew() {
	cache, err := idemcache.New(idemcache.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cache.Close()

	cache.Set(1, "as a store does it", 100)
	value, ok := cache.Get(1)
	fmt.Println(value, ok)

	// Output: as a store does it true
}

// A cache is closed when no store uses it any more.
func ExampleCache_Close() {
	cache, err := idemcache.New(idemcache.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	serve := func() {} // with stores that have the cache
	serve()
	cache.Close()
}
