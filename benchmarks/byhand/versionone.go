package byhand

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/idemtx/idemtx/benchmarks/contender"
)

const (
	versionOneTable = `CREATE TABLE %[1]s.replies (
		scope_key    text COLLATE "C" NOT NULL,
		key          text COLLATE "C" NOT NULL,
		payload_hash text NOT NULL,
		response     jsonb NOT NULL,
		expires_at   timestamptz NOT NULL,
		PRIMARY KEY (scope_key, key)
	)`
	versionOneIndex = `CREATE INDEX ON %[1]s.replies (expires_at)`

	versionOneGet = `SELECT payload_hash, response FROM %[1]s.replies
		WHERE scope_key = $1 AND key = $2 AND expires_at > now()`
	versionOnePut = `INSERT INTO %[1]s.replies AS r (scope_key, key, payload_hash, response, expires_at)
		VALUES ($1, $2, $3, $4, now() + interval '1 day')
		ON CONFLICT (scope_key, key) DO UPDATE
		SET payload_hash = excluded.payload_hash, response = excluded.response, expires_at = excluded.expires_at
		WHERE r.expires_at <= now()`
)

const owner = "tenant\u001eprincipal"

// versionOne takes a connection of the pool for each of its steps.
type versionOne struct {
	contender.Env

	pool             *pgxpool.Pool
	get, put, effect string
}

func openVersionOne(ctx context.Context, e contender.Env) (contender.Handle, func(), error) {
	pool, err := e.Pool(ctx, fmt.Sprintf(versionOneTable, e.Schema), fmt.Sprintf(versionOneIndex, e.Schema))
	if err != nil {
		return nil, nil, err
	}
	v := &versionOne{
		Env: e, pool: pool, effect: e.Effect(),
		get: fmt.Sprintf(versionOneGet, e.Schema), put: fmt.Sprintf(versionOnePut, e.Schema),
	}
	return v.handle, pool.Close, nil
}

func (v *versionOne) handle(ctx context.Context, r contender.Request) (reply []byte, replayed bool, err error) {
	hash, err := fingerprint(r.Payload)
	if err != nil {
		return nil, false, err
	}
	var stored string
	switch err := v.pool.QueryRow(ctx, v.get, owner, r.Key).Scan(&stored, &reply); {
	case err == nil && stored != hash:
		return nil, false, errMismatch
	case !errors.Is(err, pgx.ErrNoRows):
		return reply, err == nil, err
	}
	var id int64
	err = pgx.BeginFunc(ctx, v.pool, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, v.effect, r.Key).Scan(&id)
	})
	if err != nil {
		return nil, false, err
	}
	// A crash here repeats the work.
	reply = v.ReplyTo(id)
	_, err = v.pool.Exec(ctx, v.put, owner, r.Key, hash, reply)
	return reply, false, err
}
