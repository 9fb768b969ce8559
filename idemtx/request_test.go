package idemtx_test

import (
	"context"
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

// doNothing is a handler of which the tests here see that it is not reached.
func doNothing(context.Context, pgx.Tx) (int, error) { panic("the handler ran") }

// entrances are the ways in that take a whole request. A request that is refused
// has not asked the pool for a connection: with a context that has ended, the
// pool says so.
func entrances(t *testing.T) map[string]func(idemtx.Request) error {
	t.Helper()
	store := newStore(t, idemtx.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return map[string]func(idemtx.Request) error{
		"Do": func(r idemtx.Request) error {
			_, err := idemtx.Do(ctx, store, r, doNothing)
			return err
		},
		"DoTx": func(r idemtx.Request) error {
			_, err := idemtx.DoTx(ctx, store, closedTx(), r, doNothing)
			return err
		},
		"DoPool": func(r idemtx.Request) error {
			_, err := idemtx.DoPool(ctx, store, r, func(context.Context) (int, error) { panic("the handler ran") })
			return err
		},
	}
}

// closedTx is a transaction of pgx whose methods all return pgx.ErrTxClosed.
func closedTx() pgx.Tx {
	b := new(pgx.Batch)
	b.BeginTx(pgx.TxOptions{})
	return pgx.FailedBatchResults(b, pgx.ErrTxClosed).Tx()
}

func requireReachesPostgreSQL(t *testing.T, err error, about string) {
	t.Helper()
	if about == "DoTx" {
		require.ErrorIs(t, err, pgx.ErrTxClosed)
	} else {
		require.ErrorIs(t, err, context.Canceled, about)
	}
}

func TestARequestThatBreaksARuleReachesNobody(t *testing.T) {
	t.Parallel()
	valid := idemtx.Request{Scope: newScope(t), Operation: "POST /orders", Key: "order-1"}
	with := func(change func(*idemtx.Request)) idemtx.Request {
		r := valid
		change(&r)
		return r
	}
	const ttl = "the TTL must be between 1m0s and 8784h0m0s, or unset"
	for name, c := range map[string]struct {
		request idemtx.Request
		rule    string
	}{
		"no scope":          {with(func(r *idemtx.Request) { r.Scope = scope.Scope{} }), "there is no scope: make one with scope.New"},
		"no key":            {with(func(r *idemtx.Request) { r.Key = "" }), "there is no key"},
		"a long key":        {with(func(r *idemtx.Request) { r.Key = strings.Repeat("k", 256) }), "the key has more than 255 bytes"},
		"a short TTL":       {with(func(r *idemtx.Request) { r.TTL = time.Minute - 1 }), ttl},
		"a long TTL":        {with(func(r *idemtx.Request) { r.TTL = 366*24*time.Hour + 1 }), ttl},
		"a negative TTL":    {with(func(r *idemtx.Request) { r.TTL = math.MinInt64 }), ttl},
		"a policy too few":  {with(func(r *idemtx.Request) { r.OnDuplicate = -1 }), "OnDuplicate must be Wait, Refuse or unset"},
		"a policy too many": {with(func(r *idemtx.Request) { r.OnDuplicate = idemtx.Refuse + 1 }), "OnDuplicate must be Wait, Refuse or unset"},
	} {
		for entrance, do := range entrances(t) {
			err := do(c.request)
			require.ErrorIs(t, err, idemtx.ErrInvalidRequest, "%s: %s", entrance, name)
			require.EqualError(t, err, "idemtx: invalid request: "+c.rule, "%s: %s", entrance, name)
		}
	}
}

func TestARequestAtItsBoundsIsAccepted(t *testing.T) {
	t.Parallel()
	alice := newScope(t)
	for name, r := range map[string]idemtx.Request{
		"a short key":       {Scope: alice, Key: "k"},
		"the longest key":   {Scope: alice, Key: strings.Repeat("~", 255)},
		"a key of spaces":   {Scope: alice, Key: " "},
		"the shortest TTL":  {Scope: alice, Key: "k", TTL: time.Minute},
		"the longest TTL":   {Scope: alice, Key: "k", TTL: 366 * 24 * time.Hour},
		"Wait":              {Scope: alice, Key: "k", OnDuplicate: idemtx.Wait},
		"Refuse":            {Scope: alice, Key: "k", OnDuplicate: idemtx.Refuse},
		"without operation": {Scope: alice, Key: "k"},
	} {
		for entrance, do := range entrances(t) {
			t.Run(name+" in "+entrance, func(t *testing.T) {
				t.Parallel()
				requireReachesPostgreSQL(t, do(r), entrance)
			})
		}
	}
}

func TestEachByteOfAKeyIsPrintableASCII(t *testing.T) {
	t.Parallel()
	store, alice := newStore(t, idemtx.Config{}), newScope(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for b := range 256 {
		for _, key := range []string{string([]byte{byte(b)}), "order" + string([]byte{byte(b)}), string([]byte{byte(b)}) + "order"} {
			_, err := store.Get(ctx, alice, key)
			if b >= ' ' && b <= '~' {
				require.ErrorIs(t, err, context.Canceled, "%q", key)
			} else {
				require.EqualError(t, err, "idemtx: invalid request: the key holds a byte that is not printable ASCII", "%q", key)
			}
		}
	}
}

func TestRowOperationsObeyTheRulesOfARequest(t *testing.T) {
	t.Parallel()
	store, alice := newStore(t, idemtx.Config{}), newScope(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	entry := idemtx.Entry{Response: []byte("{}")}
	for name, do := range map[string]func(scope.Scope, string) error{
		"Get": func(sc scope.Scope, key string) error {
			_, err := store.Get(ctx, sc, key)
			return err
		},
		"GetTx": func(sc scope.Scope, key string) error {
			_, err := store.GetTx(ctx, closedTx(), sc, key)
			return err
		},
		"Put": func(sc scope.Scope, key string) error {
			_, err := store.Put(ctx, sc, key, entry)
			return err
		},
		"PutTx": func(sc scope.Scope, key string) error {
			_, err := store.PutTx(ctx, closedTx(), sc, key, entry)
			return err
		},
	} {
		require.EqualError(t, do(scope.Scope{}, "k"), "idemtx: invalid request: there is no scope: make one with scope.New", name)
		require.EqualError(t, do(alice, ""), "idemtx: invalid request: there is no key", name)
		require.EqualError(t, do(alice, strings.Repeat("k", 256)), "idemtx: invalid request: the key has more than 255 bytes", name)
		require.NotErrorIs(t, do(alice, strings.Repeat("k", 255)), idemtx.ErrInvalidRequest, name)
	}
}

func TestPutRefusesAnEntryThatItCannotKeep(t *testing.T) {
	t.Parallel()
	store, alice := newStore(t, idemtx.Config{MaxReplyBytes: 4}), newScope(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	put := func(e idemtx.Entry) error {
		stored, err := store.Put(ctx, alice, "k", e)
		require.False(t, stored)
		return err
	}
	require.ErrorIs(t, put(idemtx.Entry{Response: []byte("{}"), TTL: time.Minute - 1}), idemtx.ErrInvalidRequest)
	require.ErrorIs(t, put(idemtx.Entry{}), idemtx.ErrReplyNotStorable)
	require.ErrorIs(t, put(idemtx.Entry{Response: []byte("{]")}), idemtx.ErrReplyNotStorable)
	require.ErrorIs(t, put(idemtx.Entry{Response: []byte("{}"), Body: []byte("abc")}), idemtx.ErrReplyNotStorable)
	require.ErrorIs(t, put(idemtx.Entry{Response: []byte("{}"), Body: []byte("ab")}), context.Canceled)
}

func TestDoTxNeedsATransaction(t *testing.T) {
	t.Parallel()
	r := idemtx.Request{Scope: newScope(t), Key: "k"}
	_, err := idemtx.DoTx(t.Context(), newStore(t, idemtx.Config{}), nil, r, doNothing)
	require.EqualError(t, err, "idemtx: invalid request: the transaction is nil")
}

// With one connection the handler and the renewal of its lease would wait for
// each other.
func TestDoPoolNeedsTwoConnections(t *testing.T) {
	t.Parallel()
	pool, err := pgxpool.New(t.Context(), "postgres://nobody@127.0.0.1:1/nothing?pool_max_conns=1")
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	store, err := idemtx.New(pool, idemtx.Config{})
	require.NoError(t, err)
	r := idemtx.Request{Scope: newScope(t), Key: "k"}
	_, err = idemtx.DoPool(t.Context(), store, r, func(context.Context) (int, error) { panic("the handler ran") })
	require.EqualError(t, err, "idemtx: the pool has MaxConns 1; DoPool needs at least 2, "+
		"one to renew the lease while the handler has the other")
}
