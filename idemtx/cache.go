package idemtx

import (
	"context"
	"time"
)

// Cache is a memory of this process in which Do, DoBatch and DoPool find replies
// without asking the database. Package idemcache has one. It must be safe for
// concurrent use, may forget anything at any time, and may be shared by stores.
//
// A reply is in it only once it is committed, and is given out only to a request with
// the same fingerprint, and never after its row has expired; everything else asks the
// database. What it cannot know is that a row has gone before its time: one deleted by
// hand, or lost with the primary in a failover to an asynchronous standby, or expired
// because the server's clock was set forward, is replayed by this process as long as
// the cache has it. A store finds only what it has put in itself. DoTx does not use the
// cache: its caller may have written the row and not have committed it.
type Cache interface {
	// Get returns what was last set under key.
	Get(key uint64) (value any, ok bool)

	// Set keeps a value that takes about so many bytes of memory.
	Set(key uint64, value any, bytes int)
}

// memory is what a store keeps in the cache.
type memory struct {
	store *Store // two stores may have the same schema and table, of two databases
	id    keyID
	row   *row
	until time.Time
}

// memoryBytes is about what a memory and its row take beside their bytes of variable
// length.
const memoryBytes = 400

// recalled answers from the cache, or runs and remembers.
func (s *Store) recalled(ctx context.Context, c *call, run runner) (result, error) {
	if err := ctx.Err(); err != nil {
		return result{}, err
	}
	if r := s.recall(c); r != nil {
		return result{r, true}, nil
	}
	began := time.Now()
	res, err := run(ctx, c)
	if err == nil {
		s.remember(c, res.row, began)
	}
	return res, err
}

func (s *Store) recall(c *call) *row {
	if s.config.Cache == nil {
		return nil
	}
	value, _ := s.config.Cache.Get(uint64(c.keyLock))
	m, ok := value.(*memory)
	if !ok || m.store != s || m.id != c.id || !m.row.has(c.fingerprint) || m.over(time.Now()) {
		return nil
	}
	return m.row
}

// remember keeps an answer that was live after began.
func (s *Store) remember(c *call, r *row, began time.Time) {
	if !r.Unconfirmed { // which takes more than a look
		s.familiar.note(c.keyLock)
	}
	left := r.left()
	if s.config.Cache == nil || left <= 0 {
		return
	}
	// The server has counted what is left from a moment after began, so that this is
	// no later than the row's own end, whatever its clock shows.
	m := &memory{store: s, id: c.id, row: r, until: began.Add(left)}
	s.config.Cache.Set(uint64(c.keyLock), m,
		memoryBytes+len(c.id.scope)+len(c.id.key)+len(r.Response)+len(r.Body))
}

// over tells that the row may have expired. The monotonic clock stands still while
// the machine is suspended, and the other can be set back.
func (m *memory) over(now time.Time) bool {
	return !now.Before(m.until) || !now.Round(0).Before(m.until.Round(0))
}
