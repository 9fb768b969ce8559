package byhand

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/idemtx/idemtx/benchmarks/contender"
)

const (
	claimTable = `CREATE TABLE %s.replies (
		key text COLLATE "C" PRIMARY KEY, fingerprint text NOT NULL, response jsonb,
		lease_id text NOT NULL, lease_until timestamptz NOT NULL)`
	claim = `INSERT INTO %s.replies (key, fingerprint, lease_id, lease_until)
		VALUES ($1, $2, $3, now() + interval '30 seconds') ON CONFLICT DO NOTHING`
	claimLookup = `SELECT fingerprint, response, lease_until <= now() FROM %s.replies WHERE key = $1`
	claimTake   = `UPDATE %s.replies SET lease_id = $2, lease_until = now() + interval '30 seconds'
		WHERE key = $1 AND response IS NULL AND lease_until <= now()`
	claimComplete = `UPDATE %s.replies SET response = $3 WHERE key = $1 AND lease_id = $2 AND response IS NULL`
)

var errLeaseLost = errors.New("another has taken the claim over")

// claimFirst commits the claim before the work, so that others see it, and
// completes it in the work's transaction.
type claimFirst struct {
	contender.Env

	pool                                  *pgxpool.Pool
	claim, lookup, take, complete, effect string
}

func openClaimFirst(ctx context.Context, e contender.Env) (contender.Handle, func(), error) {
	pool, err := e.Pool(ctx, fmt.Sprintf(claimTable, e.Schema))
	if err != nil {
		return nil, nil, err
	}
	c := &claimFirst{
		Env: e, pool: pool, effect: e.Effect(),
		claim: fmt.Sprintf(claim, e.Schema), lookup: fmt.Sprintf(claimLookup, e.Schema),
		take: fmt.Sprintf(claimTake, e.Schema), complete: fmt.Sprintf(claimComplete, e.Schema),
	}
	return c.handle, pool.Close, nil
}

func (c *claimFirst) handle(ctx context.Context, r contender.Request) (reply []byte, replayed bool, err error) {
	hash, err := fingerprint(r.Payload)
	if err != nil {
		return nil, false, err
	}
	lease := rand.Text()
	tag, err := c.pool.Exec(ctx, c.claim, r.Key, hash, lease)
	if err == nil && tag.RowsAffected() == 0 {
		if reply, err = c.answered(ctx, r.Key, hash, lease); reply != nil {
			return reply, true, err
		}
	}
	if err != nil {
		return nil, false, err
	}
	err = pgx.BeginFunc(ctx, c.pool, func(tx pgx.Tx) error {
		reply, err = c.work(ctx, tx, r.Key, lease)
		return err
	})
	return reply, false, err
}

// answered returns the reply, or nothing when it has taken a dead claim over.
func (c *claimFirst) answered(ctx context.Context, key, hash, lease string) (reply []byte, err error) {
	var stored string
	var dead bool
	err = c.pool.QueryRow(ctx, c.lookup, key).Scan(&stored, &reply, &dead)
	switch {
	case err != nil:
		return nil, err
	case stored != hash:
		return nil, errMismatch
	case reply != nil:
		return reply, nil
	case !dead:
		return nil, errInFlight
	}
	tag, err := c.pool.Exec(ctx, c.take, key, lease)
	if err == nil && tag.RowsAffected() == 0 {
		err = errInFlight
	}
	return nil, err
}

func (c *claimFirst) work(ctx context.Context, tx pgx.Tx, key, lease string) (reply []byte, err error) {
	var id int64
	if err := tx.QueryRow(ctx, c.effect, key).Scan(&id); err != nil {
		return nil, err
	}
	reply = c.ReplyTo(id)
	tag, err := tx.Exec(ctx, c.complete, key, lease, reply)
	if err == nil && tag.RowsAffected() == 0 {
		err = errLeaseLost
	}
	return reply, err
}
