package ours

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/idemtx/idemtx/benchmarks/contender"
	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/scope"
)

const operation = "POST /orders"

func owner() scope.Scope {
	s, err := scope.New("tenant", "principal")
	if err != nil {
		panic(err)
	}
	return s
}

// Keys are hashes, so that they lie in the index in no order.
const rows = `
INSERT INTO %s.idemtx_replies (scope, key, fingerprint, response, created_at, expires_at)
SELECT $1, md5($2::text || n), $3, $4::jsonb, now() - interval '2 days', now() + $5::interval + n * interval '1 millisecond'
FROM generate_series(1, $6::bigint) AS n`

// Fill puts n rows into the table of a contender of this package: replies to
// requests with this payload, whose keys are those of Key with the same prefix,
// and which expire after so long, one each millisecond, or have when that is
// negative.
func Fill(ctx context.Context, pool *pgxpool.Pool, e contender.Env, payload []byte, prefix string, n int, expire string) error {
	fingerprint, err := idemtx.FingerprintOf(operation, json.RawMessage(payload))
	if err != nil {
		return err
	}
	_, err = pool.Exec(ctx, fmt.Sprintf(rows, e.Schema), owner().Key(), prefix, fingerprint[:], string(e.ReplyTo(0)), expire, n)
	if err != nil {
		return fmt.Errorf("fill the table: %w", err)
	}
	return nil
}

// Key is that of the n-th row of Fill, from 1.
func Key(prefix string, n int) string {
	sum := md5.Sum([]byte(prefix + strconv.Itoa(n)))
	return hex.EncodeToString(sum[:])
}

// Table is where a contender of this package keeps its replies.
func Table(e contender.Env) string { return e.Schema + ".idemtx_replies" }

// OpenSelect opens the bare SELECT of a row that Do has a place for.
func OpenSelect(ctx context.Context, e contender.Env) (contender.Handle, func(), error) {
	pool, err := e.Pool(ctx)
	if err != nil {
		return nil, nil, err
	}
	sql, who := "SELECT response FROM "+Table(e)+" WHERE scope = $1 AND key = $2", owner().Key()
	handle := func(ctx context.Context, r contender.Request) (reply []byte, replayed bool, err error) {
		err = pool.QueryRow(ctx, sql, who, r.Key).Scan(&reply)
		return reply, true, err
	}
	return handle, pool.Close, nil
}
