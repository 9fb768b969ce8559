package integration

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// The other fields of a request have their bounds, too.
func TestBadInputRequest(t *testing.T) {
	t.Parallel()
	store := unreachable(t)
	sc := mustScope(t, "tenant", "principal")
	for rule, change := range map[string]func(*idemtx.Request){
		"the TTL must be":         func(r *idemtx.Request) { r.TTL = time.Minute - 1 },
		"between 1m0s and 8784h":  func(r *idemtx.Request) { r.TTL = 366*24*time.Hour + 1 },
		"the TTL must be between": func(r *idemtx.Request) { r.TTL = -time.Hour },
	} {
		r := idemtx.Request{Scope: sc, Key: "k"}
		change(&r)
		calls := entrances(t, store, nil)
		for _, name := range []string{"Do", "DoTx", "DoPool", "Put", "PutTx"} {
			err := calls[name](r)
			require.ErrorIs(t, err, idemtx.ErrInvalidRequest, name)
			require.ErrorContains(t, err, rule, name)
		}
	}
	for _, policy := range []idemtx.Duplicate{-1, idemtx.Refuse + 1} {
		for _, name := range []string{"Do", "DoTx", "DoPool"} {
			err := entrances(t, store, nil)[name](idemtx.Request{Scope: sc, Key: "k", OnDuplicate: policy})
			require.ErrorIs(t, err, idemtx.ErrInvalidRequest, name)
			require.ErrorContains(t, err, "OnDuplicate", name)
		}
	}
	require.ErrorIs(t, entrances(t, store, nil)["DoTx"](idemtx.Request{Scope: sc, Key: "k"}), idemtx.ErrInvalidRequest,
		"there is no transaction")
	for _, limit := range []int{-1, 0, 100_001} {
		_, err := store.DeleteExpired(t.Context(), limit)
		require.ErrorIs(t, err, idemtx.ErrInvalidRequest)
	}
	require.ErrorIs(t, store.RunSweeper(t.Context(), 0), idemtx.ErrInvalidRequest)
}

// Pool mode needs a second connection to renew its lease. With one it would hang
// once the handler has it.
func TestBadInputPoolTooSmall(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withMaxConns(1))
	_, err := idemtx.DoPool(t.Context(), f.store, f.request("k"), func(context.Context) (order, error) {
		t.Error("the handler ran")
		return order{}, nil
	})
	require.ErrorContains(t, err, "MaxConns 1")
	require.ErrorContains(t, err, "at least 2")
	require.Zero(t, f.rows("k"))
}

// A configuration out of its bounds is an error that names field and bounds.
func TestBadInputConfig(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	for says, changes := range map[string][]func(*idemtx.Config){
		"Config.TTL must be between 1m0s and 8784h0m0s": {
			func(c *idemtx.Config) { c.TTL = time.Minute - 1 },
			func(c *idemtx.Config) { c.TTL = 366*24*time.Hour + 1 },
			func(c *idemtx.Config) { c.TTL = -time.Hour },
		},
		"Config.Lease must be between 1s and 1h0m0s": {
			func(c *idemtx.Config) { c.Lease = time.Second - 1 },
			func(c *idemtx.Config) { c.Lease = time.Hour + 1 },
		},
		"Config.MaxWait must be between 1ms and 1h0m0s": {
			func(c *idemtx.Config) { c.MaxWait = time.Microsecond },
			func(c *idemtx.Config) { c.MaxWait = time.Hour + 1 },
		},
		"Config.MaxReplyBytes must be between 1 and 268435456": {
			func(c *idemtx.Config) { c.MaxReplyBytes = -1 },
			func(c *idemtx.Config) { c.MaxReplyBytes = 256<<20 + 1 },
		},
		"Config.MaxAttempts must be between 1 and 100": {
			func(c *idemtx.Config) { c.MaxAttempts = -1 },
			func(c *idemtx.Config) { c.MaxAttempts = 101 },
		},
		"Config.Table must match ^[a-z_][a-z0-9_]*$ and have at most 48 bytes": {
			func(c *idemtx.Config) { c.Table = strings.Repeat("t", 49) },
			func(c *idemtx.Config) { c.Table = "Replies" },
			func(c *idemtx.Config) { c.Table = "1replies" },
			func(c *idemtx.Config) { c.Table = `replies"` },
			func(c *idemtx.Config) { c.Table = "replies\n" },
		},
		"Config.Schema must be valid UTF-8 of at most 63 bytes without U+0000": {
			func(c *idemtx.Config) { c.Schema = strings.Repeat("s", 64) },
			func(c *idemtx.Config) { c.Schema = "\xff" },
			func(c *idemtx.Config) { c.Schema = "a\x00" },
		},
		"Config.OnDuplicate must be Wait or Refuse":       {func(c *idemtx.Config) { c.OnDuplicate = 3 }},
		"Config.OnExpired must be Rerun or RefuseExpired": {func(c *idemtx.Config) { c.OnExpired = 3 }},
		"Config.TxOptions must not be read only":          {func(c *idemtx.Config) { c.TxOptions.AccessMode = pgx.ReadOnly }},
	} {
		for _, change := range changes {
			var config idemtx.Config
			change(&config)
			store, err := idemtx.New(pool, config)
			require.ErrorContains(t, err, "idemtx: "+says)
			require.Nil(t, store)
		}
	}
	_, err := idemtx.New(nil, idemtx.Config{})
	require.ErrorContains(t, err, "the pool is nil")
	for _, config := range []idemtx.Config{
		{TTL: time.Minute, Lease: time.Second, MaxWait: time.Millisecond, MaxReplyBytes: 1, MaxAttempts: 1, Table: "_"},
		{
			TTL: 366 * 24 * time.Hour, Lease: time.Hour, MaxWait: time.Hour, MaxReplyBytes: 256 << 20, MaxAttempts: 100,
			Table: strings.Repeat("t", 48), Schema: strings.Repeat("s", 63),
		},
	} {
		_, err := idemtx.New(pool, config)
		require.NoError(t, err)
	}
}
