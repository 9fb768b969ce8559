package integration

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/scope"
)

// What bad input gets. A kind of input has a test here; what else is known of it:
//
//	keys, scopes, payloads     never reach the server
//	replies                    TestContract/.../ReplyThatCannotBeStored
//	stored replies             TestContract/.../StoredReplyThatDoesNotDecode
//	tables                     TestVerifySchema..., TestCures...: each difference and its cure
//	another payload            TestContract/.../RefusesAnotherRequest
//	secrets                    TestDefectSecretsInErrorsAndLogs

// unreachable is a store without a server: a call that asks the database fails
// with something other than ErrInvalidRequest.
func unreachable(t *testing.T) *idemtx.Store {
	t.Helper()
	config, err := pgxpool.ParseConfig("host=" + t.TempDir() + " user=nobody dbname=nothing")
	require.NoError(t, err)
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	store, err := idemtx.New(pool, idemtx.Config{})
	require.NoError(t, err)
	return store
}

// watcher is told of every query and every batch that was sent, and its error.
type watcher func(err error)

func (w watcher) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}
func (w watcher) TraceQueryEnd(_ context.Context, _ *pgx.Conn, d pgx.TraceQueryEndData) { w(d.Err) }

func (w watcher) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}
func (w watcher) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData)   {}
func (w watcher) TraceBatchEnd(_ context.Context, _ *pgx.Conn, d pgx.TraceBatchEndData) { w(d.Err) }

// entrances are all calls that take a scope and a key. A handler that runs fails
// the test.
func entrances(t *testing.T, s *idemtx.Store, tx pgx.Tx) map[string]func(r idemtx.Request) error {
	t.Helper()
	ctx, run := t.Context(), mustNotRun(t)
	return map[string]func(r idemtx.Request) error{
		"Do": func(r idemtx.Request) error {
			_, err := idemtx.Do(ctx, s, r, func(ctx context.Context, tx pgx.Tx) (order, error) { return run(ctx, tx) })
			return err
		},
		"DoTx": func(r idemtx.Request) error {
			_, err := idemtx.DoTx(ctx, s, tx, r, func(ctx context.Context, tx pgx.Tx) (order, error) { return run(ctx, tx) })
			return err
		},
		"DoPool": func(r idemtx.Request) error {
			_, err := idemtx.DoPool(ctx, s, r, func(ctx context.Context) (order, error) { return run(ctx, nil) })
			return err
		},
		"Get": func(r idemtx.Request) error {
			_, err := s.Get(ctx, r.Scope, r.Key)
			return err
		},
		"GetTx": func(r idemtx.Request) error {
			_, err := s.GetTx(ctx, tx, r.Scope, r.Key)
			return err
		},
		"Put": func(r idemtx.Request) error {
			_, err := s.Put(ctx, r.Scope, r.Key, idemtx.Entry{Response: []byte("1"), TTL: r.TTL})
			return err
		},
		"PutTx": func(r idemtx.Request) error {
			_, err := s.PutTx(ctx, tx, r.Scope, r.Key, idemtx.Entry{Response: []byte("1"), TTL: r.TTL})
			return err
		},
	}
}

// A key or a scope that breaks a rule is refused before the database hears of
// it, and the error says which rule, not which key.
func TestBadInputKeyOrScope(t *testing.T) {
	t.Parallel()
	var sent atomic.Int64
	f := newFixture(t, withTracer(watcher(func(error) { sent.Add(1) })))
	tx, err := f.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	store := unreachable(t)
	sent.Store(0)
	for name, call := range entrances(t, store, tx) {
		for key, rule := range map[string]string{
			"":                          "there is no key",
			"secret" + string(make([]byte, 250)): "more than 255 bytes",
			"secret schlüssel":          "not printable ASCII",
			"secret\n":                  "not printable ASCII",
			"secret\x00":                "not printable ASCII",
			"secret\x1e":                "not printable ASCII",
			"secret\x7f":                "not printable ASCII",
			"secret\xff":                "not printable ASCII",
		} {
			err := call(f.request(key))
			require.ErrorIs(t, err, idemtx.ErrInvalidRequest, "%s %q", name, key)
			require.ErrorContains(t, err, rule, name)
			require.NotContains(t, err.Error(), "secret", name)
		}
		nobody := f.request("secret")
		nobody.Scope = scope.Scope{}
		err := call(nobody)
		require.ErrorIs(t, err, idemtx.ErrInvalidRequest, name)
		require.ErrorContains(t, err, "there is no scope", name)
	}
	require.Zero(t, sent.Load(), "the database heard of it")
	// What is asked for in earnest does go there.
	require.NotErrorIs(t, entrances(t, store, tx)["Get"](f.request("k")), idemtx.ErrInvalidRequest)
	require.NotErrorIs(t, entrances(t, f.store, tx)["GetTx"](f.request("k")), idemtx.ErrInvalidRequest)
	require.NotZero(t, sent.Load())
}

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

// The longest key in the longest scope fits, into the index as well.
func TestBadInputStopsAtTheLongest(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := f.request(strings.Repeat("~", 255))
	r.Scope = mustScope(t, strings.Repeat("t", 512), strings.Repeat("p", 511))
	for i, m := range modes {
		reply, err := m.do(t.Context(), f, r, effect(f, "k"))
		require.NoError(t, err, m.name)
		require.Equal(t, i > 0, reply.Replayed, m.name)
	}
}

// U+001E separates the parts of a scope. Were it stripped or let through, two
// callers would share a scope.
func TestBadInputSeparatorInScope(t *testing.T) {
	t.Parallel()
	for _, parts := range [][]string{
		{"secret\x1e", "principal"}, {"tenant", "secret\x1eprincipal"}, {"tenant", "\x1e"}, {"tenant", "principal", "\x1esecret"},
	} {
		sc, err := scope.New(parts[0], parts[1], parts[2:]...)
		require.ErrorIs(t, err, idemtx.ErrInvalidRequest)
		require.ErrorContains(t, err, "U+001E")
		require.NotContains(t, err.Error(), "secret")
		require.True(t, sc.IsZero())
	}
}

// A payload without an unambiguous meaning has no fingerprint. The error points
// at the place, and the database never hears of it.
func TestBadInputPayload(t *testing.T) {
	t.Parallel()
	store := unreachable(t)
	sc := mustScope(t, "tenant", "principal")
	deep := strings.Repeat(`[`, 300) + strings.Repeat(`]`, 300)
	for name, c := range map[string]struct {
		payload any
		pointer string
	}{
		"no JSON":         {json.RawMessage(`{"a":[1,secret]}`), "/a/1"},
		"duplicate names": {json.RawMessage(`{"a":{"b":"secret","b":"secret"}}`), "/a/b"},
		"NaN":             {map[string]any{"a": math.NaN()}, "/a"},
		"1e400":           {json.RawMessage(`{"a":[0,1e400]}`), "/a/1"},
		"depth":           {json.RawMessage(`{"a":` + deep + `}`), "/a/0/0"},
		"lone surrogate":  {json.RawMessage(`{"a":"secret\ud800"}`), "/a"},
		"invalid UTF-8":   {json.RawMessage("{\"a\":\"secret\xff\"}"), "/a"},
		"no JSON type":    {map[string]any{"a": make(chan int)}, "/a"},
	} {
		calls := entrances(t, store, nil)
		for _, mode := range []string{"Do", "DoTx", "DoPool"} {
			err := calls[mode](idemtx.Request{Scope: sc, Key: "k", Payload: c.payload})
			require.ErrorIs(t, err, idemtx.ErrInvalidRequest, name)
			require.ErrorContains(t, err, c.pointer, name)
			require.NotContains(t, err.Error(), "secret", name)
		}
	}
}

// answerWith runs a request whose handler does its work and answers with value.
func answerWith[T any](ctx context.Context, m mode, f *fixture, key string, value T) (idemtx.Reply[T], error) {
	inTx := func(ctx context.Context, tx pgx.Tx) (T, error) {
		_, err := f.effect(ctx, tx, key)
		return value, err
	}
	switch m.name {
	case idemtx.ModeDo:
		return idemtx.Do(ctx, f.store, f.request(key), inTx)
	case idemtx.ModeDoTx:
		tx, err := f.pool.Begin(ctx)
		if err != nil {
			return idemtx.Reply[T]{}, err
		}
		reply, err := idemtx.DoTx(ctx, f.store, tx, f.request(key), inTx)
		return reply, errors.Join(err, tx.Commit(ctx))
	}
	return idemtx.DoPool(ctx, f.store, f.request(key), func(ctx context.Context) (T, error) {
		_, err := f.effect(ctx, f.pool, key)
		return value, err
	})
}

// asymmetric encodes to what it does not decode from.
type asymmetric struct{}

func (asymmetric) MarshalJSON() ([]byte, error) { return []byte(`"secret"`), nil }

// unwilling fails to encode, and says too much.
type unwilling struct{}

func (unwilling) MarshalJSON() ([]byte, error) { return nil, errors.New("secret") }

// A reply that cannot be stored undoes the work, or the next request would do it
// again. In pool mode, where nothing can be undone, it is not done again while
// the claim holds.
func TestBadInputReply(t *testing.T) {
	t.Parallel()
	raw := func(text string) func(context.Context, mode, *fixture, string) error {
		return func(ctx context.Context, m mode, f *fixture, key string) error {
			_, err := answerWith(ctx, m, f, key, json.RawMessage(text))
			return err
		}
	}
	cases := map[string]func(context.Context, mode, *fixture, string) error{
		"no_json":        raw(`secret`),
		"nul":            raw(`["secret\u0000"]`),
		"lone_surrogate": raw(`["secret\ud800"]`),
		"too_long":       raw(`"` + strings.Repeat("secret", 100) + `"`),
		"huge_number":    raw(`{"secret":1e200000}`), // only the server knows
		"nan": func(ctx context.Context, m mode, f *fixture, key string) error {
			_, err := answerWith(ctx, m, f, key, math.NaN())
			return err
		},
		"unwilling": func(ctx context.Context, m mode, f *fixture, key string) error {
			_, err := answerWith(ctx, m, f, key, unwilling{})
			return err
		},
		"asymmetric": func(ctx context.Context, m mode, f *fixture, key string) error {
			_, err := answerWith(ctx, m, f, key, asymmetric{})
			return err
		},
	}
	for _, m := range modes {
		for _, exec := range execModes {
			t.Run(string(m.name)+"/"+exec.String(), func(t *testing.T) {
				t.Parallel()
				f := newFixture(t, withExecMode(exec), withConfig(func(c *idemtx.Config) { c.MaxReplyBytes = 500 }))
				for key, answer := range cases {
					err := answer(t.Context(), m, f, key)
					require.ErrorIs(t, err, idemtx.ErrReplyNotStorable, key)
					require.NotContains(t, err.Error(), "secret", key)
					again := f.request(key)
					again.OnDuplicate = idemtx.Refuse
					if m.atomic {
						require.Zero(t, f.effects(key), key)
						require.Zero(t, f.rows(key), key)
						_, err = m.do(t.Context(), f, again, effect(f, key))
						require.NoError(t, err, key)
					} else {
						_, err = m.do(t.Context(), f, again, mustNotRun(t))
						require.ErrorIs(t, err, idemtx.ErrInFlight, key)
					}
					require.Equal(t, 1, f.effects(key), key)
				}
			})
		}
	}
}

// A stored reply that the caller's type cannot take is an error. Nothing runs:
// the work is done, and the reply stays for whoever can read it.
func TestBadInputStoredReply(t *testing.T) {
	t.Parallel()
	for _, m := range modes {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			_, err := answerWith(t.Context(), m, f, "k", map[string]string{"number": "secret"})
			require.NoError(t, err)
			_, err = m.do(t.Context(), f, f.request("k"), mustNotRun(t))
			require.ErrorContains(t, err, "does not decode")
			require.NotErrorIs(t, err, idemtx.ErrReplyNotStorable)
			require.NotContains(t, err.Error(), "secret")
			again, err := answerWith(t.Context(), m, f, "k", map[string]string{})
			require.NoError(t, err)
			require.Equal(t, map[string]string{"number": "secret"}, again.Value)
			require.Equal(t, 1, f.effects("k"))
		})
	}
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
		"Config.OnDuplicate must be Wait or Refuse":     {func(c *idemtx.Config) { c.OnDuplicate = 3 }},
		"Config.OnExpired must be Rerun or RefuseExpired": {func(c *idemtx.Config) { c.OnExpired = 3 }},
		"Config.TxOptions must not be read only":        {func(c *idemtx.Config) { c.TxOptions.AccessMode = pgx.ReadOnly }},
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
		{TTL: 366 * 24 * time.Hour, Lease: time.Hour, MaxWait: time.Hour, MaxReplyBytes: 256 << 20, MaxAttempts: 100,
			Table: strings.Repeat("t", 48), Schema: strings.Repeat("s", 63)},
	} {
		_, err := idemtx.New(pool, config)
		require.NoError(t, err)
	}
}

// The key's first request is somebody's secret: a mismatch tells nothing of it,
// neither when it is answered nor while it is in flight.
func TestBadInputMismatch(t *testing.T) {
	t.Parallel()
	for _, m := range modes {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			p := start(t, m, f, "k")
			other := f.peer(withConfig(refusing))
			check := func() {
				operation := f.request("k")
				operation.Operation = "POST /refunds"
				for _, r := range []idemtx.Request{f.other("k"), operation} {
					reply, err := m.do(t.Context(), other, r, mustNotRun(t))
					require.ErrorIs(t, err, idemtx.ErrMismatch)
					require.Equal(t, "idemtx: the key was used for a different request", firstLine(err))
					require.Zero(t, reply)
				}
			}
			check()
			_, err := p.finish(nil)
			require.NoError(t, err)
			check()
		})
	}
}
