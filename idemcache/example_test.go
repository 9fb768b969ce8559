package idemcache_test

import (
	"fmt"
	"log"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/idemtx/idemtx/idemcache"
	"github.com/idemtx/idemtx/idemtx"
)

// One cache serves all stores of a process.
func Example() {
	cache, err := idemcache.New(idemcache.Config{MaxBytes: 16 << 20, MaxAge: 10 * time.Second})
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close()
	open := func(pool *pgxpool.Pool) (*idemtx.Store, error) {
		return idemtx.New(pool, idemtx.Config{Cache: cache})
	}
	_ = open

	_, err = idemcache.New(idemcache.Config{MaxAge: -time.Second})
	fmt.Println(err)

	// Output:
	// idemcache: neither Config.MaxBytes nor Config.MaxAge may be negative
}
