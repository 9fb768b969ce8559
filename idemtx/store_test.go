package idemtx_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/scope"
)

// newPool returns a pool that reaches no server: whoever asks it for a
// connection gets an error.
func newPool(tb testing.TB) *pgxpool.Pool {
	tb.Helper()
	pool, err := pgxpool.New(tb.Context(), "postgres://nobody@127.0.0.1:1/nothing")
	require.NoError(tb, err)
	tb.Cleanup(pool.Close)
	return pool
}

func newStore(tb testing.TB, config idemtx.Config) *idemtx.Store {
	tb.Helper()
	store, err := idemtx.New(newPool(tb), config)
	require.NoError(tb, err)
	return store
}

func newScope(tb testing.TB) scope.Scope {
	tb.Helper()
	alice, err := scope.New("acme", "alice")
	require.NoError(tb, err)
	return alice
}

func TestAStoreNeedsAPool(t *testing.T) {
	t.Parallel()
	store, err := idemtx.New(nil, idemtx.Config{})
	require.EqualError(t, err, "idemtx: the pool is nil")
	require.Nil(t, store)
}

func TestConfigIsAcceptedWithinItsBounds(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	const days = 24 * time.Hour
	for name, config := range map[string]idemtx.Config{
		"the zero value":         {},
		"a reserved schema":      {Schema: "select"},
		"any schema":             {Schema: "a \"b\"; Ä\n{table}"},
		"the longest schema":     {Schema: strings.Repeat("ß", 31) + "s"},
		"a reserved table":       {Table: "user"},
		"the shortest table":     {Table: "_"},
		"the longest table":      {Table: strings.Repeat("x", 48)},
		"digits in the table":    {Table: "a1_"},
		"the shortest TTL":       {TTL: time.Minute},
		"the longest TTL":        {TTL: 366 * days},
		"the shortest lease":     {Lease: time.Second},
		"the longest lease":      {Lease: time.Hour},
		"Wait":                   {OnDuplicate: idemtx.Wait},
		"Refuse":                 {OnDuplicate: idemtx.Refuse},
		"Rerun":                  {OnExpired: idemtx.Rerun},
		"RefuseExpired":          {OnExpired: idemtx.RefuseExpired},
		"the shortest retention": {OnExpired: idemtx.RefuseExpired, Retention: time.Minute},
		"the longest retention":  {OnExpired: idemtx.RefuseExpired, Retention: 3660 * days},
		"the shortest secret":    {KeySecret: make(idemtx.Secret, 32)},
		"the shortest wait":      {MaxWait: time.Millisecond},
		"the longest wait":       {MaxWait: time.Hour},
		"the shortest reply":     {MaxReplyBytes: 1},
		"the longest reply":      {MaxReplyBytes: 256 << 20},
		"the fewest attempts":    {MaxAttempts: 1},
		"the most attempts":      {MaxAttempts: 100},
		"read write":             {TxOptions: pgx.TxOptions{AccessMode: pgx.ReadWrite}},
		"serializable":           {TxOptions: pgx.TxOptions{IsoLevel: pgx.Serializable}},
		"all of it at its least": {TTL: time.Minute, Lease: time.Second, MaxWait: time.Millisecond, MaxReplyBytes: 1, MaxAttempts: 1},
	} {
		store, err := idemtx.New(pool, config)
		require.NoError(t, err, name)
		require.NotNil(t, store, name)
	}
}

func TestConfigIsRefusedOutsideOfItsBounds(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	const days = 24 * time.Hour
	const (
		schema      = "Config.Schema must be valid UTF-8 of at most 63 bytes without U+0000"
		table       = "Config.Table must match ^[a-z_][a-z0-9_]*$ and have at most 48 bytes"
		ttl         = "Config.TTL must be between 1m0s and 8784h0m0s"
		retention   = "Config.Retention must be between 1m0s and 87840h0m0s"
		useless     = "Config.Retention is of no use unless Config.OnExpired is RefuseExpired"
		secret      = "Config.KeySecret must have at least 32 bytes"
		lease       = "Config.Lease must be between 1s and 1h0m0s"
		onDuplicate = "Config.OnDuplicate must be Wait or Refuse"
		onExpired   = "Config.OnExpired must be Rerun or RefuseExpired"
		maxWait     = "Config.MaxWait must be between 1ms and 1h0m0s"
		maxReply    = "Config.MaxReplyBytes must be between 1 and 268435456"
		maxAttempts = "Config.MaxAttempts must be between 1 and 100"
	)
	for rule, configs := range map[string][]idemtx.Config{
		schema: {{Schema: strings.Repeat("x", 64)}, {Schema: strings.Repeat("ß", 32)}, {Schema: "a\x00b"}, {Schema: "a\xff"}},
		table: {
			{Table: strings.Repeat("x", 49)},
			{Table: "1a"},
			{Table: "Replies"},
			{Table: `a"b`},
			{Table: "a.b"},
			{Table: "a-b"},
			{Table: "a b"},
			{Table: "a\n"},
			{Table: "ä"},
			{Table: "a\x00"},
			{Table: "{table}"},
		},
		ttl: {{TTL: time.Minute - 1}, {TTL: 366*days + 1}, {TTL: -1}, {TTL: math.MaxInt64}, {TTL: math.MinInt64}},
		retention: {
			{OnExpired: idemtx.RefuseExpired, Retention: -1},
			{OnExpired: idemtx.RefuseExpired, Retention: time.Minute - 1},
			{OnExpired: idemtx.RefuseExpired, Retention: 3660*days + 1},
		},
		useless:     {{Retention: time.Hour}, {OnExpired: idemtx.Rerun, Retention: time.Hour}},
		secret:      {{KeySecret: idemtx.Secret{}}, {KeySecret: make(idemtx.Secret, 31)}},
		lease:       {{Lease: time.Second - 1}, {Lease: time.Hour + 1}, {Lease: -time.Minute}},
		onDuplicate: {{OnDuplicate: -1}, {OnDuplicate: idemtx.Refuse + 1}},
		onExpired:   {{OnExpired: -1}, {OnExpired: idemtx.RefuseExpired + 1}},
		maxWait:     {{MaxWait: time.Millisecond - 1}, {MaxWait: time.Hour + 1}, {MaxWait: -time.Second}},
		maxReply:    {{MaxReplyBytes: -1}, {MaxReplyBytes: 256<<20 + 1}},
		maxAttempts: {{MaxAttempts: -1}, {MaxAttempts: 101}},
		"Config.TxOptions must not be read only: the reply is written in that transaction": {
			{TxOptions: pgx.TxOptions{AccessMode: pgx.ReadOnly}},
		},
		ttl + "\nidemtx: " + lease: {{TTL: 1, Lease: 1}}, // not one at a time
	} {
		for _, config := range configs {
			store, err := idemtx.New(pool, config)
			require.EqualError(t, err, "idemtx: "+rule, "%+v", config)
			require.Nil(t, store)
		}
	}
}

// TestAStoreTellsItsConfig, also what was left to it.
func TestAStoreTellsItsConfig(t *testing.T) {
	t.Parallel()
	s, err := idemtx.New(newPool(t), idemtx.Config{Table: "replies"})
	require.NoError(t, err)
	require.Equal(t, "replies", s.Config().Table)
	require.Equal(t, 1<<20, s.Config().MaxReplyBytes)
	require.Equal(t, 24*time.Hour, s.Config().TTL)
}
