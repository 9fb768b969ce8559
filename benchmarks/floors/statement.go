package floors

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/idemtx/idemtx/benchmarks/contender"
)

// No ON CONFLICT: of two at once, the one that comes second must fail as a
// whole, or its effect is committed without its reply.
const statement = `
WITH known AS (
	SELECT fingerprint, response FROM %[1]s.replies WHERE key = $1
), effect AS (
	INSERT INTO %[1]s.effects (key) SELECT $1 WHERE NOT EXISTS (SELECT FROM known) RETURNING id
), stored AS (
	INSERT INTO %[1]s.replies (key, fingerprint, response)
	SELECT $1, $2, jsonb_build_object('id', id, 'body', $3::jsonb) FROM effect
	RETURNING fingerprint, response
)
SELECT fingerprint = $2, response, false FROM stored
UNION ALL SELECT fingerprint = $2, response, true FROM known`

func openStatement(ctx context.Context, e contender.Env) (contender.Handle, func(), error) {
	pool, err := e.Pool(ctx, fmt.Sprintf(`CREATE TABLE %s.replies (
		key text COLLATE "C" PRIMARY KEY, fingerprint bytea NOT NULL, response jsonb NOT NULL)`, e.Schema))
	if err != nil {
		return nil, nil, err
	}
	statement := fmt.Sprintf(statement, e.Schema)
	handle := func(ctx context.Context, r contender.Request) (reply []byte, replayed bool, err error) {
		fingerprint := sha256.Sum256(r.Payload)
		for range 2 { // whoever has lost finds the winner's reply
			var same bool
			err = pool.QueryRow(ctx, statement, r.Key, fingerprint[:], e.Reply).Scan(&same, &reply, &replayed)
			if err == nil && !same {
				err = errors.New("the key belongs to another request")
			}
			var refused *pgconn.PgError
			if !errors.As(err, &refused) || refused.Code != "23505" {
				break
			}
		}
		return reply, replayed, err
	}
	return handle, pool.Close, nil
}
