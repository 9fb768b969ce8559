package libraries_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/benchmarks/contender"
	"github.com/idemtx/idemtx/benchmarks/libraries"
	"github.com/idemtx/idemtx/internal/devpg"
)

// server is the one PostgreSQL that all tests share; each has a schema of its own.
var server *devpg.Server

func TestMain(m *testing.M) {
	server = devpg.MustStart()
	code := m.Run()
	server.Close()
	os.Exit(code)
}

// A reply that is longer and less plain than a number, so that a store that
// writes it anew is found.
const handlerReply = `{"state":"<paid>","amount":100e-1,"lines":[2,1],"note":"größer & schöner"}`

func TestAFirstRequestHasOneEffectAndItsReplayTheSameReply(t *testing.T) {
	t.Parallel()
	eachLibrary(t, func(t *testing.T, f *fixture) {
		first, replayed := f.send("first")
		require.False(t, replayed)
		require.Equal(t, 1, f.effects())

		again, replayed := f.send("first")
		require.True(t, replayed)
		require.Equal(t, string(first), string(again))
		require.Equal(t, 1, f.effects())
	})
}

func TestAReplyHasTheEffectAndWhatTheHandlerSaid(t *testing.T) {
	t.Parallel()
	eachLibrary(t, func(t *testing.T, f *fixture) {
		body, _ := f.send("only")
		var got struct {
			ID   int64           `json:"id"`
			Body json.RawMessage `json:"body"`
		}
		require.NoError(t, json.Unmarshal(body, &got))
		require.JSONEq(t, handlerReply, string(got.Body))
		require.Equal(t, "only", f.keyOf(got.ID))
	})
}

func TestAnotherKeyIsAnotherEffect(t *testing.T) {
	t.Parallel()
	eachLibrary(t, func(t *testing.T, f *fixture) {
		one, replayed := f.send("one")
		require.False(t, replayed)
		two, replayed := f.send("two")
		require.False(t, replayed)
		require.NotEqual(t, string(one), string(two))
		require.Equal(t, 2, f.effects())
	})
}

func TestCallersOfOneKeyAtOnceGetOneReply(t *testing.T) {
	t.Parallel()
	eachLibrary(t, func(t *testing.T, f *fixture) {
		const callers = 8 // twice the pool, so that some wait for a connection
		replies, firsts := f.sendAtOnce("shared", callers)
		require.Len(t, replies, callers)
		for _, reply := range replies {
			require.Equal(t, replies[0], reply)
		}
		require.Equal(t, 1, firsts)
		require.Equal(t, 1, f.effects())
	})
}

func TestARequestFailsWhenItsEffectDoes(t *testing.T) {
	t.Parallel()
	eachLibrary(t, func(t *testing.T, f *fixture) {
		f.exec("DROP TABLE " + f.schema + ".effects")
		_, _, err := f.handle(t.Context(), request("lost"))
		require.ErrorContains(t, err, "effects")
	})
}

// eachLibrary runs a test with each of them, in a schema of its own.
func eachLibrary(t *testing.T, test func(*testing.T, *fixture)) {
	t.Helper()
	for _, c := range libraries.All() {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, contender.Peer, c.Kind)
			require.NotEmpty(t, c.About)
			test(t, open(t, c))
		})
	}
}

// fixture is an open library.
type fixture struct {
	t      *testing.T
	schema string
	handle contender.Handle
}

func open(t *testing.T, c contender.Contender) *fixture {
	t.Helper()
	f := &fixture{t: t, schema: "t_" + strings.ToLower(rand.Text())}
	f.exec("CREATE SCHEMA " + f.schema)
	t.Cleanup(func() { f.exec("DROP SCHEMA " + f.schema + " CASCADE") })
	f.exec("CREATE TABLE " + f.schema + ".effects (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key text NOT NULL)")
	handle, shut, err := c.Open(t.Context(), contender.Env{
		URL: server.URL, MaxConns: 4, Schema: f.schema, Reply: []byte(handlerReply),
	})
	require.NoError(t, err)
	t.Cleanup(shut)
	f.handle = handle
	return f
}

func request(key string) contender.Request {
	return contender.Request{Key: key, Payload: []byte(`{"sku":"book","quantity":2}`)}
}

func (f *fixture) send(key string) (reply []byte, replayed bool) {
	f.t.Helper()
	reply, replayed, err := f.handle(f.t.Context(), request(key))
	require.NoError(f.t, err)
	return reply, replayed
}

// sendAtOnce has several callers with one key, and counts those who were told
// that theirs was the first request.
func (f *fixture) sendAtOnce(key string, callers int) (replies []string, firsts int) {
	f.t.Helper()
	var lock sync.Mutex
	var callersDone sync.WaitGroup
	for range callers {
		callersDone.Go(func() {
			reply, replayed, err := f.handle(f.t.Context(), request(key))
			lock.Lock()
			defer lock.Unlock()
			if err != nil {
				f.t.Error(err)
				return
			}
			replies = append(replies, string(reply))
			if !replayed {
				firsts++
			}
		})
	}
	callersDone.Wait()
	return replies, firsts
}

func (f *fixture) effects() (n int) {
	f.t.Helper()
	f.connected(func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SELECT count(*) FROM "+f.schema+".effects").Scan(&n)
	})
	return n
}

func (f *fixture) keyOf(id int64) (key string) {
	f.t.Helper()
	f.connected(func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SELECT key FROM "+f.schema+".effects WHERE id = $1", id).Scan(&key)
	})
	return key
}

func (f *fixture) exec(sql string) {
	f.t.Helper()
	f.connected(func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, sql)
		return err
	})
}

// connected has a connection of its own, in a cleanup as well.
func (f *fixture) connected(do func(context.Context, *pgx.Conn) error) {
	f.t.Helper()
	ctx := context.WithoutCancel(f.t.Context())
	conn, err := pgx.Connect(ctx, server.URL)
	require.NoError(f.t, err)
	defer conn.Close(ctx)
	require.NoError(f.t, do(ctx, conn))
}
