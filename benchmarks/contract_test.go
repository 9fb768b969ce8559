package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/benchmarks/byhand"
	"github.com/idemtx/idemtx/benchmarks/contender"
	"github.com/idemtx/idemtx/internal/devpg"
)

var postgres *devpg.Server

func TestMain(m *testing.M) {
	postgres = devpg.MustStart()
	code := m.Run()
	postgres.Close()
	os.Exit(code)
}

// opened is a contender in a schema of its own.
type opened struct {
	contender.Env

	t      *testing.T
	handle contender.Handle
}

func open(t *testing.T, c contender.Contender) *opened {
	t.Helper()
	o := &opened{t: t, Env: contender.Env{
		URL: postgres.URL, MaxConns: 6, Schema: "t_" + strings.ToLower(rand.Text()), Reply: []byte(`{"text":"sold"}`),
	}}
	o.exec("CREATE SCHEMA " + o.Schema)
	o.exec("CREATE TABLE " + o.Schema + ".effects (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key text NOT NULL)")
	t.Cleanup(func() { o.exec("DROP SCHEMA " + o.Schema + " CASCADE") })
	handle, done, err := c.Open(t.Context(), o.Env)
	require.NoError(t, err)
	t.Cleanup(done)
	o.handle = handle
	return o
}

func (o *opened) connected(do func(context.Context, *pgx.Conn) error) {
	o.t.Helper()
	ctx := context.WithoutCancel(o.t.Context())
	conn, err := pgx.Connect(ctx, o.URL)
	require.NoError(o.t, err)
	defer conn.Close(ctx)
	require.NoError(o.t, do(ctx, conn))
}

func (o *opened) exec(sql string) {
	o.t.Helper()
	o.connected(func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, sql)
		return err
	})
}

// effects counts how often the work for a key was committed.
func (o *opened) effects(key string) (n int) {
	o.t.Helper()
	o.connected(func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SELECT count(*) FROM "+o.Schema+".effects WHERE key = $1", key).Scan(&n)
	})
	return n
}

func request(key string) contender.Request {
	return contender.Request{Key: key, Payload: []byte(`{"article":17,"pieces":2}`)}
}

// theReply holds what the handler replied with, whatever the contender calls it.
func theReply(t *testing.T, o *opened, reply []byte) {
	t.Helper()
	var members map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(reply, &members))
	require.JSONEq(t, string(o.ReplyTo(1)), fmt.Sprintf(`{"id":%s,"body":%s}`, members["id"], firstOf(members, "body", "reply")))
}

func firstOf(members map[string]json.RawMessage, names ...string) json.RawMessage {
	for _, name := range names {
		if members[name] != nil {
			return members[name]
		}
	}
	return nil
}

func TestAReplayHasTheReplyOfTheFirstRequestAndNoEffect(t *testing.T) {
	t.Parallel()
	for _, c := range contenders() {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			o := open(t, c)
			first, replayed, err := o.handle(t.Context(), request("a"))
			require.NoError(t, err)
			require.False(t, replayed)
			theReply(t, o, first)
			again, replayed, err := o.handle(t.Context(), request("a"))
			require.NoError(t, err)
			if c.Only == contender.First {
				require.Equal(t, 2, o.effects("a"), "this floor knows no replays")
				return
			}
			require.True(t, replayed)
			require.JSONEq(t, string(first), string(again))
			require.Equal(t, 1, o.effects("a"))
		})
	}
}

// What contenders do about duplicates at once differs, and each is counted: no
// answer but a replay may come without an effect, and no effect without an answer.
func TestDuplicatesAtOnce(t *testing.T) {
	t.Parallel()
	for _, c := range contenders() {
		if c.Only != "" {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			o := open(t, c)
			for _, a := range o.atOnce(20, rand.Text) { // opens all connections
				require.NoError(t, a.err)
			}
			for range 10 {
				key := rand.Text()
				firsts, failed := count(o.atOnce(20, func() string { return key }))
				require.Equal(t, firsts, o.effects(key))
				if c.Name == byhand.VersionOne {
					continue // it has no lock
				}
				require.Equal(t, 1, firsts)
				if c.Kind == contender.Ours {
					require.Zero(t, failed, "idemtx has the others wait for the first")
				}
			}
		})
	}
}

type answer struct {
	replayed bool
	err      error
}

// atOnce sends n requests when all of them are ready.
func (o *opened) atOnce(n int, key func() string) []answer {
	answers := make([]answer, n)
	ready := make(chan struct{})
	var all sync.WaitGroup
	for i := range answers {
		r := request(key())
		all.Go(func() {
			<-ready
			_, answers[i].replayed, answers[i].err = o.handle(o.t.Context(), r)
		})
	}
	close(ready)
	all.Wait()
	return answers
}

// count tells how many were answered as first requests, and how many not at all.
func count(answers []answer) (firsts, failed int) {
	for _, a := range answers {
		switch {
		case a.err != nil:
			failed++
		case !a.replayed:
			firsts++
		}
	}
	return firsts, failed
}
