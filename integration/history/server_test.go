package history

import (
	"bytes"
	"context"
	"encoding/json"
	"math/rand/v2"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/internal/pgnode"
	"github.com/idemtx/idemtx/scope"
)

// clientName is how the server knows the connections of the clients.
const clientName = "history"

// server is a PostgreSQL with a table of replies and one of effects.
type server struct {
	t          *testing.T
	node       *pgnode.Node
	url        string
	admin      *pgxpool.Pool // not broken but by the end of the server
	sweeper    *idemtx.Store
	scope      scope.Scope
	searchPath string // of the clients
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{t: t, node: pgnode.New(t, "max_connections = 60")}
	s.url = s.node.URL()
	var err error
	s.admin, err = pgxpool.New(context.Background(), s.url)
	require.NoError(t, err)
	t.Cleanup(s.admin.Close)
	s.scope, err = scope.New("tenant", "principal")
	require.NoError(t, err)
	s.sweeper, err = idemtx.New(s.admin, idemtx.Config{Schema: "history"})
	require.NoError(t, err)
	require.NoError(t, s.sweeper.CreateSchema(t.Context()))
	s.exec("CREATE TABLE history.effects (key text NOT NULL, number bigint NOT NULL)")
	return s
}

func (s *server) exec(sql string) {
	s.t.Helper()
	_, err := s.admin.Exec(s.t.Context(), sql)
	require.NoError(s.t, err)
}

// ask returns the number that a query counts, or -1 when it fails.
func (s *server) ask(sql string, args ...any) int {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	n := -1
	_ = s.admin.QueryRow(ctx, sql, args...).Scan(&n)
	return n
}

// restart crashes the server, starts it again, and says how.
func (s *server) restart(d *rand.Rand) string {
	s.t.Helper()
	how := pick(d, []int{1, 1}, "server killed", "server stopped")
	if how == "server killed" {
		s.node.Kill()
	} else {
		s.node.StopImmediate()
	}
	s.node.Start()
	s.admin.Reset()
	return how
}

// request is the request of every client, with one of two payloads.
func request(sc scope.Scope, key string, payload int, duplicate idemtx.Duplicate) idemtx.Request {
	return idemtx.Request{
		Scope: sc, Operation: "POST /orders", Key: key,
		Payload: map[string]any{"quantity": payload}, OnDuplicate: duplicate,
	}
}

// stored is a reply as the table has it.
func (s *server) stored(response []byte, isRefused bool, fingerprint []byte) reply {
	var r receipt
	if err := json.Unmarshal(response, &r); err != nil {
		s.t.Errorf("a reply is none: %v", err)
	}
	for payload := range 2 {
		asked := request(s.scope, "k", payload, 0)
		f, err := idemtx.FingerprintOf(asked.Operation, asked.Payload)
		if err != nil {
			s.t.Errorf("a request has no fingerprint: %v", err)
		}
		if bytes.Equal(f[:], fingerprint) {
			return reply{number: r.Number, payload: payload, refused: isRefused}
		}
	}
	s.t.Error("a reply is to a request that nobody has made")
	return reply{}
}
