package byhand

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/idemtx/idemtx/benchmarks/contender"
)

const (
	plainTable = `CREATE TABLE %s.replies (
		key text COLLATE "C" PRIMARY KEY, fingerprint text NOT NULL, response jsonb NOT NULL)`
	plainLookup = `SELECT fingerprint, response FROM %s.replies WHERE key = $1`
	plainStore  = `INSERT INTO %s.replies (key, fingerprint, response) VALUES ($1, $2, $3)`
)

// selectInsert relies on the primary key: of two at once the second one's INSERT
// fails, which undoes its effect, and it looks again.
type selectInsert struct {
	contender.Env

	pool                  *pgxpool.Pool
	lookup, store, effect string
}

func openSelectInsert(ctx context.Context, e contender.Env) (contender.Handle, func(), error) {
	pool, err := e.Pool(ctx, fmt.Sprintf(plainTable, e.Schema))
	if err != nil {
		return nil, nil, err
	}
	s := &selectInsert{
		Env: e, pool: pool, effect: e.Effect(),
		lookup: fmt.Sprintf(plainLookup, e.Schema), store: fmt.Sprintf(plainStore, e.Schema),
	}
	return s.handle, pool.Close, nil
}

func (s *selectInsert) handle(ctx context.Context, r contender.Request) (reply []byte, replayed bool, err error) {
	hash, err := fingerprint(r.Payload)
	if err != nil {
		return nil, false, err
	}
	for range 2 {
		err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) (err error) {
			reply, replayed, err = s.once(ctx, tx, r.Key, hash)
			return err
		})
		var refused *pgconn.PgError
		if !errors.As(err, &refused) || refused.Code != "23505" {
			break
		}
	}
	return reply, replayed, err
}

func (s *selectInsert) once(ctx context.Context, tx pgx.Tx, key, hash string) (reply []byte, replayed bool, err error) {
	var stored string
	switch err := tx.QueryRow(ctx, s.lookup, key).Scan(&stored, &reply); {
	case err == nil && stored != hash:
		return nil, false, errMismatch
	case !errors.Is(err, pgx.ErrNoRows):
		return reply, err == nil, err
	}
	var id int64
	if err := tx.QueryRow(ctx, s.effect, key).Scan(&id); err != nil {
		return nil, false, err
	}
	reply = s.ReplyTo(id)
	_, err = tx.Exec(ctx, s.store, key, hash, reply)
	return reply, false, err
}
