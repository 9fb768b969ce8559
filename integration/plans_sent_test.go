package integration

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// statementsSent is a pgx tracer that keeps every statement with the arguments it
// was first sent with, those of the handlers' work excepted.
type statementsSent struct {
	mu   sync.Mutex
	args map[string][]any
}

func (s *statementsSent) note(sql string, args []any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.args[sql]; !known && !strings.Contains(sql, ".effects (key) VALUES ($1) RETURNING id") {
		s.args[sql] = args
	}
}

// has tells whether a statement with this text in it was sent.
func (s *statementsSent) has(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for sql := range s.args {
		if strings.Contains(sql, text) {
			return true
		}
	}
	return false
}

func (s *statementsSent) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	s.note(q.SQL, q.Args)
	return ctx
}

func (s *statementsSent) TraceBatchStart(ctx context.Context, _ *pgx.Conn, b pgx.TraceBatchStartData) context.Context {
	for _, q := range b.Batch.QueuedQueries {
		s.note(q.SQL, q.Arguments)
	}
	return ctx
}

func (*statementsSent) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData)     {}
func (*statementsSent) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (*statementsSent) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

// sendAll has f's store, and others on its table, send every statement there is
// outside of the making and the verifying of the table, and returns them.
func sendAll(t *testing.T, f *fixture) map[string][]any {
	t.Helper()
	sent := &statementsSent{args: map[string][]any{}}
	for _, m := range modes {
		sendInMode(f.peer(withTracer(sent)), m)
		sendRefused(t, f, m, withTracer(sent), withConfig(refusing))
	}
	sendInBatch(f.peer(withTracer(sent)))
	sendRenewal(f, sent)
	sendInquiries(t, f, sent)
	sendConfirmations(f, sent)
	sendByHand(f.peer(withTracer(sent)))
	return sent.args
}

// sendInMode has a key answered, replayed, expired and answered again, has a
// handler fail and another refuse.
func sendInMode(f *fixture, m mode) {
	f.t.Helper()
	ctx, key := f.t.Context(), string(m.name)
	for _, replayed := range []bool{false, true} {
		reply, err := m.do(ctx, f, f.request(key), effect(f, key))
		require.NoError(f.t, err)
		require.Equal(f.t, replayed, reply.Replayed)
	}
	f.expire(key)
	reply, err := m.do(ctx, f, f.request(key), effect(f, key))
	require.NoError(f.t, err)
	require.False(f.t, reply.Replayed)

	for _, verdict := range []error{errors.New("no stock"), idemtx.ErrRefused} {
		reply, err := m.do(ctx, f, f.request(key+" "+verdict.Error()), func(ctx context.Context, db execer) (order, error) {
			o, err := f.effect(ctx, db, key)
			return o, errors.Join(err, verdict)
		})
		require.Equal(f.t, err == nil, reply.Refused)
	}
}

// sendInBatch has a key answered, expired and answered again.
func sendInBatch(f *fixture) {
	f.t.Helper()
	for range 2 {
		reply, err := f.smallBatch("batch")
		require.NoError(f.t, err)
		require.False(f.t, reply.Replayed)
		f.expire("batch")
	}
}

// sendRefused has a call refused because another process is at its key.
func sendRefused(t *testing.T, f *fixture, m mode, options ...option) {
	t.Helper()
	key := "held from " + string(m.name)
	end, peer := inFlight(t, modes[0], f, key), f.peer(options...)
	_, err := m.do(t.Context(), peer, peer.request(key), mustNotRun(t))
	require.ErrorIs(t, err, idemtx.ErrInFlight)
	end(nil)
}

// sendRenewal has a handler of DoPool run until its lease was renewed.
func sendRenewal(f *fixture, sent *statementsSent) {
	f.t.Helper()
	h := hold(f.peer(withTracer(sent), withLease(time.Second)), "renewed")
	require.Eventually(f.t, func() bool { return sent.has("SET lease_until = clock_timestamp()") }, time.Minute, 5*time.Millisecond)
	h.finish(nil)
	require.NoError(f.t, h.err)
}

// sendInquiries loses the answers to two COMMITs.
func sendInquiries(t *testing.T, f *fixture, sent *statementsSent) {
	t.Helper()
	wire := newProxy(t)
	peer := f.peer(withTracer(sent), through(wire))
	for name, call := range map[string]func() (idemtx.Reply[order], error){
		"Do": func() (idemtx.Reply[order], error) {
			return idemtx.Do(t.Context(), peer.store, peer.request("inquired"), peer.handler("inquired"))
		},
		"DoBatch": func() (idemtx.Reply[order], error) { return peer.smallBatch("inquired batch") },
	} {
		judge, met := once((*trip).commits, swallow)
		wire.meet(judge)
		reply, err := call()
		require.NoError(t, err, name)
		require.False(t, reply.Replayed, name)
		require.True(t, met.Load(), name)
	}
}

// sendConfirmations has replies confirmed. That the server has synchronous standbys
// is a setting of all its sessions, so a function of that name in front of the
// server's says so to those of this test.
func sendConfirmations(f *fixture, sent *statementsSent) {
	f.t.Helper()
	exec(f.t, `CREATE FUNCTION `+f.schema+`.current_setting(name text) RETURNS text LANGUAGE sql AS $$
		SELECT CASE name WHEN 'synchronous_standby_names' THEN '*' ELSE pg_catalog.current_setting(name) END $$`)
	peer := f.peer(withTracer(sent), func(p *pgxpool.Config, _ *idemtx.Config) {
		p.ConnConfig.RuntimeParams["search_path"] = f.schema + ", pg_catalog"
	})
	for _, m := range modes {
		reply, err := m.do(f.t.Context(), peer, f.request("renewed"), mustNotRun(f.t))
		require.NoError(f.t, err)
		require.True(f.t, reply.Replayed)
	}
	peer.idle()
}

// sendByHand uses the rows without a handler.
func sendByHand(f *fixture) {
	f.t.Helper()
	ctx := f.t.Context()
	stored, err := f.store.Put(ctx, f.scope, "put", idemtx.Entry{Response: []byte("{}")})
	require.NoError(f.t, err)
	require.True(f.t, stored)
	_, err = f.store.Get(ctx, f.scope, "put")
	require.NoError(f.t, err)
	require.NoError(f.t, pgx.BeginFunc(ctx, f.pool, func(tx pgx.Tx) error {
		_, err := f.store.PutTx(ctx, tx, f.scope, "put", idemtx.Entry{Response: []byte("{}")})
		require.NoError(f.t, err)
		_, err = f.store.GetTx(ctx, tx, f.scope, "put")
		return err
	}))
	_, err = f.store.DeleteExpired(ctx, 100)
	require.NoError(f.t, err)
}
