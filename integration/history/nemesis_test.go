package history

import (
	"context"
	"errors"
	"math/rand/v2"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// nemesis is the client that harms the others.
const nemesis = processes * clients

// strike does one thing, or nothing, to a random key, or to all.
func (r *round) strike(d *rand.Rand) {
	key := r.keys[d.IntN(keys)]
	switch n := d.IntN(100); {
	case n < 25:
		r.expire(key)
	case n < 35:
		r.lapse(key)
	case n < 42:
		r.sweep()
	case n < 43:
		r.strikeServer(d)
	case n < 75:
		r.retire(key)
	}
}

// strikeServer crashes the server and starts it again. Those that are in the middle
// of a call have to live with it; the others wait, or they would be through with
// all their calls before the server is there again.
func (r *round) strikeServer(d *rand.Rand) {
	r.down.Lock()
	defer r.down.Unlock()
	r.count("fault: " + r.restart(d))
}

// expire ends the time of the reply, but not while its call goes on. No reply is
// kept for less than a minute, and a call relies on that when it asks what has
// become of its COMMIT, saves its reply again, or has a pipeline that comes late find
// the key used.
func (r *round) expire(key string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if r.someAstray(ctx) {
		return
	}
	var number int64
	err := r.admin.QueryRow(ctx, `SELECT (response->>'number')::bigint FROM history.idemtx_replies
		WHERE key = $1 AND response IS NOT NULL`, key).Scan(&number)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && !r.hasReturned(number) {
		return
	}
	call := r.now()
	var tag pgconn.CommandTag
	if err == nil {
		tag, err = r.admin.Exec(ctx, `UPDATE history.idemtx_replies
			SET created_at = created_at - interval '1 year', expires_at = clock_timestamp() - interval '1 second'
			WHERE key = $1 AND (response->>'number')::bigint = $2 AND expires_at > clock_timestamp()`, key, number)
	}
	if err != nil {
		r.t.Errorf("the reply cannot be made to expire: %v", err)
	} else if tag.RowsAffected() == 1 {
		r.add(nemesis, key, call, input{kind: expire}, output{outcome: done, reply: reply{number: number}, retains: r.retains})
	}
}

// retire ends the time for which the key is retained, and sweeps. The sweeper may have
// passed over the row because somebody had locked it.
func (r *round) retire(key string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if r.someAstray(ctx) {
		return
	}
	call := r.now()
	tag, err := r.admin.Exec(ctx, `UPDATE history.idemtx_replies
		SET expires_at = now() - interval '1 second', retain_until = now() - interval '1 second'
		WHERE key = $1 AND response IS NULL AND lease_until IS NULL AND retain_until > clock_timestamp()`, key)
	if err != nil {
		r.t.Errorf("the retention cannot be made to end: %v", err)
	}
	if tag.RowsAffected() == 0 {
		return
	}
	r.deleteExpired(ctx)
	out := output{outcome: done}
	if r.ask(`SELECT count(*) FROM history.idemtx_replies WHERE key = $1 AND retain_until <= clock_timestamp()`, key) != 0 {
		out.outcome = unknown
	}
	r.add(nemesis, key, call, input{kind: retire}, out)
}

// lapse ends the lease of the claim.
func (r *round) lapse(key string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	call := r.now()
	tag, err := r.admin.Exec(ctx, `UPDATE history.idemtx_replies SET lease_until = clock_timestamp() - interval '1 second'
		WHERE key = $1 AND response IS NULL AND lease_until > clock_timestamp()`, key)
	if err != nil {
		r.t.Errorf("the lease cannot be made to end: %v", err)
	} else if tag.RowsAffected() == 1 {
		r.add(nemesis, key, call, input{kind: lapse}, output{outcome: done})
	}
}

// sweep is nothing that a key may notice.
func (r *round) sweep() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	call := r.now()
	r.deleteExpired(ctx)
	for _, key := range r.keys {
		r.add(nemesis, key, call, input{kind: sweep}, output{outcome: done})
	}
}

func (r *round) deleteExpired(ctx context.Context) {
	if _, err := r.sweeper.DeleteExpired(ctx, 1000); err != nil {
		r.t.Errorf("the sweeper has failed: %v", err)
	}
}

// terminate ends a backend, which may be at anything.
func (r *round) terminate(backend uint32) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	// Fails while the server is down, and then the backend is, too.
	_, _ = r.admin.Exec(ctx, "SELECT pg_terminate_backend($1)", int32(backend))
	r.count("fault: backend terminated")
}
