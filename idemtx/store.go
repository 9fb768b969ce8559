package idemtx

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Duplicate is what happens to a request whose key is in flight. Its zero value
// means unset.
type Duplicate int

const (
	// Wait waits for the first request and then answers with its reply, or runs
	// the handler when the first has failed.
	Wait Duplicate = iota + 1

	// Refuse answers with an [InFlightError] as soon as the key is known to be in
	// flight, or with [ErrMismatch] when that is known to be a different request. When
	// another call of this process has the key and nothing is known after half a
	// second, the key counts as in flight.
	Refuse
)

// Expired is what happens to a request whose key was answered so long ago that
// the reply has expired. Its zero value means unset.
type Expired int

const (
	// Rerun treats an expired key as one that was never used.
	Rerun Expired = iota + 1

	// RefuseExpired answers [ErrExpired], or [ErrMismatch] when the key was used for
	// another request, for as long as [Config.Retention] says: a client that sends a
	// request again after a week is told so, and nothing is done a second time.
	RefuseExpired
)

// Bounds of what a [Config] may hold.
const (
	minTTL   = time.Minute
	maxTTL   = 366 * 24 * time.Hour
	minLease = time.Second
	maxLease = time.Hour

	maxRetention = 3660 * 24 * time.Hour
)

// Config says how a [Store] works. The zero value is a good one.
type Config struct {
	// Schema is the PostgreSQL schema that holds the table. Any identifier of
	// at most 63 bytes will do; it is always quoted.
	//
	// Defaults to "public".
	Schema string

	// Table is the table's name: lower case ASCII letters, digits and
	// underscores, not beginning with a digit, at most 48 bytes, so that no
	// name derived from it is truncated. Reserved words are fine.
	//
	// Defaults to "idemtx_replies".
	Table string

	// Partitions is in how many partitions, by hash of the scope, the table is made, from
	// 2 to 256: for a table that has outgrown what VACUUM does in good time. A few dozen
	// are plenty. It matters when the table is made: CreateSchema and VerifySchema take
	// one that is there as it is, and SchemaSQL fails on one of another layout.
	//
	// Defaults to 0: a plain table.
	Partitions int

	// TTL is how long a reply is replayed, from one minute to 366 days. After
	// that the key may be used again.
	//
	// Defaults to 24 hours.
	TTL time.Duration

	// Lease is how long a key stays claimed when the process of a DoPool dies,
	// from one second to one hour. It is renewed while the handler runs, so it
	// need not cover the slowest one.
	//
	// Defaults to 30 seconds.
	Lease time.Duration

	// OnDuplicate says what a request gets whose key is in flight.
	//
	// Defaults to [Wait].
	OnDuplicate Duplicate

	// OnExpired says what a request gets whose key has expired.
	//
	// Defaults to [Rerun].
	OnExpired Expired

	// Retention is how long a key is refused under [RefuseExpired] after its reply has
	// expired, from one minute to 3660 days: the sweeper deletes the reply then, and of the key keeps
	// as much as tells a repetition from another request. It is stored with each reply,
	// so that every sweeper obeys it, and a change goes for the replies to come. Set it
	// when no replica is of a release that does not know it.
	//
	// Defaults to 0: a key is refused until a sweeper comes by.
	Retention time.Duration

	// MaxWait is how long [Wait] waits for another request before the answer is
	// an [InFlightError], from one millisecond to one hour. A program that writes
	// the table without the lock on the key, as PutTx does, is waited for until
	// the context ends.
	//
	// Defaults to 10 seconds.
	MaxWait time.Duration

	// MaxReplyBytes is how long an encoded reply may be, from 1 byte to 256 MiB.
	// A longer one is an [ErrReplyNotStorable].
	//
	// Defaults to 1 MiB.
	MaxReplyBytes int

	// MaxAttempts is how often Do runs a handler whose transaction was undone by
	// a serialization failure (40001), a deadlock (40P01) or a connection that
	// was lost before COMMIT, from 1 to 100.
	//
	// Defaults to 3.
	MaxAttempts int

	// TxOptions are those of the transactions that Do begins. They cannot be
	// read only.
	TxOptions pgx.TxOptions

	// Codec seals replies before they are stored. DoBatch, whose replies the server
	// makes, takes the round trips of Do with one. Set it when no replica is of a release
	// that does not know it, which could not read what is sealed.
	//
	// Defaults to none: replies are stored as JSON.
	Codec Codec

	// KeySecret is at least 32 bytes that only your services know. With it the table
	// has each key as its HMAC-SHA256, so that whoever reads the table cannot fetch a
	// reply with what he finds. All stores on a table have to agree on it: a key that
	// was used under another secret, or under none, counts as one that was never used.
	//
	// Defaults to none: keys are stored as they are.
	KeySecret Secret

	// Cache answers replays without the database; see [Cache] for what that costs.
	//
	// Defaults to none.
	Cache Cache

	// Logger hears of what no caller does, such as an error of the sweeper. It
	// is never given a payload, a reply, a scope but as its hash, or more of a
	// key than the first 8 of its bytes.
	//
	// Defaults to one that discards.
	Logger *slog.Logger

	// Tracer is told about each call of Do, DoTx and DoPool.
	//
	// Defaults to none.
	Tracer Tracer
}

// Store keeps replies in one table. It is safe for concurrent use. It has nothing
// to close, and no goroutine of its own but while a call needs one.
//
// All stores on one table, in whatever process, have to agree on Schema and
// Table to the letter: the lock on a key is made of both.
type Store struct {
	pool   *pgxpool.Pool
	config Config
	sql    statements
	queue  queue

	familiar familiar

	maxConns int32 // of the pool
	execMode pgx.QueryExecMode
	prepared prepared
}

// New returns a store that works on pool. It does not connect; call
// [Store.CreateSchema] or [Store.VerifySchema] before serving.
//
// An error names the field of config that is out of its bounds.
func New(pool *pgxpool.Pool, config Config) (*Store, error) {
	if pool == nil {
		return nil, errors.New("idemtx: the pool is nil")
	}
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	p := pool.Config()
	return &Store{
		pool: pool, config: config, sql: statementsFor(config.Schema, config.Table),
		maxConns: p.MaxConns,
		execMode: p.ConnConfig.DefaultQueryExecMode,
	}, nil
}

// Config returns the store's configuration, with the defaults filled in.
func (s *Store) Config() Config { return s.config }

// Pool returns the pool that the store works on. It is the caller's, to close as
// well.
func (s *Store) Pool() *pgxpool.Pool { return s.pool }

func (c Config) withDefaults() Config {
	c.Schema = cmp.Or(c.Schema, "public")
	c.Table = cmp.Or(c.Table, "idemtx_replies")
	c.TTL = cmp.Or(c.TTL, 24*time.Hour)
	c.Lease = cmp.Or(c.Lease, 30*time.Second)
	c.OnDuplicate = cmp.Or(c.OnDuplicate, Wait)
	c.OnExpired = cmp.Or(c.OnExpired, Rerun)
	c.MaxWait = cmp.Or(c.MaxWait, 10*time.Second)
	c.MaxReplyBytes = cmp.Or(c.MaxReplyBytes, 1<<20)
	c.MaxAttempts = cmp.Or(c.MaxAttempts, 3)
	c.KeySecret = bytes.Clone(c.KeySecret)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	return c
}

var tableName = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

// maxTable leaves room for the longest suffix of a derived name in the 63 bytes
// that PostgreSQL keeps of an identifier.
const maxTable = 63 - len(indexSuffix)

func (c Config) validate() error {
	switch {
	case !validSchemaName(c.Schema):
		return errors.New("idemtx: Config.Schema must be valid UTF-8 of at most 63 bytes without U+0000")
	case len(c.Table) > maxTable || !tableName.MatchString(c.Table):
		return fmt.Errorf("idemtx: Config.Table must match %s and have at most %d bytes", tableName, maxTable)
	case c.OnDuplicate != Wait && c.OnDuplicate != Refuse:
		return errors.New("idemtx: Config.OnDuplicate must be Wait or Refuse")
	case c.OnExpired != Rerun && c.OnExpired != RefuseExpired:
		return errors.New("idemtx: Config.OnExpired must be Rerun or RefuseExpired")
	case c.Retention != 0 && c.OnExpired != RefuseExpired:
		return errors.New("idemtx: Config.Retention is of no use unless Config.OnExpired is RefuseExpired")
	case c.KeySecret != nil && len(c.KeySecret) < minSecret:
		return fmt.Errorf("idemtx: Config.KeySecret must have at least %d bytes", minSecret)
	case c.TxOptions.AccessMode == pgx.ReadOnly:
		return errors.New("idemtx: Config.TxOptions must not be read only: the reply is written in that transaction")
	}
	return errors.Join(
		within("TTL", c.TTL, minTTL, maxTTL),
		within("Partitions", cmp.Or(c.Partitions, minPartitions), minPartitions, maxPartitions),
		within("Retention", cmp.Or(c.Retention, minTTL), minTTL, maxRetention),
		within("Lease", c.Lease, minLease, maxLease),
		within("MaxWait", c.MaxWait, time.Millisecond, time.Hour),
		within("MaxReplyBytes", c.MaxReplyBytes, 1, 256<<20),
		within("MaxAttempts", c.MaxAttempts, 1, 100),
	)
}

func within[T cmp.Ordered](field string, value, low, high T) error {
	if value < low || value > high {
		return fmt.Errorf("idemtx: Config.%s must be between %v and %v", field, low, high)
	}
	return nil
}
