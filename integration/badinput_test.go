package integration

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"sync/atomic"
	"testing"

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

// begin begins a transaction that does not outlive the test. Left open by a failed
// one, it would keep the pool from closing.
func begin(t *testing.T, pool *pgxpool.Pool, options ...pgx.TxOptions) pgx.Tx {
	t.Helper()
	tx, err := pool.BeginTx(t.Context(), append(options, pgx.TxOptions{})[0])
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) })
	return tx
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
	tx := begin(t, f.pool)
	store := unreachable(t)
	sent.Store(0)
	for name, call := range entrances(t, store, tx) {
		for key, rule := range map[string]string{
			"":                                   "there is no key",
			"secret" + string(make([]byte, 250)): "more than 255 bytes",
			"secret schlüssel":                   "not printable ASCII",
			"secret\n":                           "not printable ASCII",
			"secret\x00":                         "not printable ASCII",
			"secret\x1e":                         "not printable ASCII",
			"secret\x7f":                         "not printable ASCII",
			"secret\xff":                         "not printable ASCII",
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
