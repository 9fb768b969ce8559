//go:build !race

package allocations

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/internal/devpg"
	"github.com/idemtx/idemtx/scope"
)

var server *devpg.Server

func TestMain(m *testing.M) {
	server = devpg.MustStart()
	code := m.Run()
	server.Close()
	os.Exit(code)
}

// counts are the allocations of a call, those of pgx and of the handler's one
// statement included. The test allows a twentieth more, and tells with -v what it
// counts: whoever makes a call cheaper lowers its count here.
var counts = []struct {
	name  string
	count int
	call  func(s *service, key string) error
}{
	{"plain transaction", 25, (*service).plain},
	{"Do", 185, (*service).do},
	{"Do, replay", 45, replayed((*service).do)},
	{"DoTx", 173, (*service).doTx},
	{"DoTx, replay", 114, replayed((*service).doTx)},
	{"DoBatch", 156, (*service).doBatch},
	{"DoBatch, replay", 50, replayed((*service).doBatch)},
	{"DoPool", 200, (*service).doPool},
	{"DoPool, replay", 42, replayed((*service).doPool)},
}

func TestAllocations(t *testing.T) { //nolint:paralleltest // it counts what all goroutines do
	s := newService(t)
	for _, c := range counts {
		n := 0
		once := func() {
			n++
			require.NoError(t, c.call(s, c.name+strconv.Itoa(n)))
		}
		for range 10 { // connections are made and statements prepared
			once()
		}
		counted := int(testing.AllocsPerRun(200, once))
		t.Logf("%s: %d", c.name, counted)
		require.LessOrEqual(t, counted, c.count+c.count/20, c.name)
	}
}

// replayed is a call whose key was used before.
func replayed(call func(*service, string) error) func(*service, string) error {
	return func(s *service, _ string) error { return call(s, "replayed") }
}

// service is a store on a table of its own, with a table for its handlers.
type service struct {
	ctx    context.Context
	pool   *pgxpool.Pool
	store  *idemtx.Store
	scope  scope.Scope
	insert string // the work
}

type item struct {
	SKU      string `json:"sku"`
	Quantity int    `json:"quantity"`
}

type order struct {
	Number int64 `json:"number"`
}

func newService(t *testing.T) *service {
	t.Helper()
	ctx := t.Context()
	pool, err := pgxpool.New(ctx, server.URL)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	schema := "t_" + strings.ToLower(rand.Text())
	t.Cleanup(func() {
		_, err := pool.Exec(context.WithoutCancel(ctx), "DROP SCHEMA "+schema+" CASCADE")
		require.NoError(t, err)
	})
	store, err := idemtx.New(pool, idemtx.Config{Schema: schema})
	require.NoError(t, err)
	require.NoError(t, store.CreateSchema(ctx))
	_, err = pool.Exec(ctx, "CREATE TABLE "+schema+".orders (number bigint GENERATED ALWAYS AS IDENTITY, key text NOT NULL)")
	require.NoError(t, err)
	sc, err := scope.New("tenant", "principal")
	require.NoError(t, err)
	return &service{
		ctx: ctx, pool: pool, store: store, scope: sc,
		insert: fmt.Sprintf("INSERT INTO %s.orders (key) VALUES ($1) RETURNING number", schema),
	}
}

func (s *service) request(key string) idemtx.Request {
	return idemtx.Request{
		Scope: s.scope, Operation: "POST /orders", Key: key,
		Payload: item{SKU: "lamp", Quantity: 1},
	}
}

func (s *service) order(ctx context.Context, tx pgx.Tx, key string) (o order, err error) {
	err = tx.QueryRow(ctx, s.insert, key).Scan(&o.Number)
	return o, err
}

func (s *service) plain(key string) error {
	return pgx.BeginFunc(s.ctx, s.pool, func(tx pgx.Tx) error {
		_, err := s.order(s.ctx, tx, key)
		return err
	})
}

func (s *service) handler(key string) func(context.Context, pgx.Tx) (order, error) {
	return func(ctx context.Context, tx pgx.Tx) (order, error) { return s.order(ctx, tx, key) }
}

func (s *service) do(key string) error {
	_, err := idemtx.Do(s.ctx, s.store, s.request(key), s.handler(key))
	return err
}

func (s *service) doTx(key string) error {
	return pgx.BeginFunc(s.ctx, s.pool, func(tx pgx.Tx) error {
		_, err := idemtx.DoTx(s.ctx, s.store, tx, s.request(key), s.handler(key))
		return err
	})
}

func (s *service) doBatch(key string) error {
	work := &pgx.Batch{}
	work.Queue(s.insert, key)
	_, err := idemtx.DoBatch[order](s.ctx, s.store, s.request(key), work)
	return err
}

func (s *service) doPool(key string) error {
	_, err := idemtx.DoPool(s.ctx, s.store, s.request(key), func(context.Context) (order, error) {
		return order{Number: 1}, nil
	})
	return err
}
