package crash

import (
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// work is what a handler does, as a batch. There is none that refuses.
func (c *client) work(h handler) *pgx.Batch {
	b := &pgx.Batch{}
	insert := "INSERT INTO " + c.schema + ".effects (key, run) VALUES ($1, $2) RETURNING id AS number, run"
	if h.ends.fails() {
		b.Queue(insert, c.key, h.label)
		b.Queue(insert, c.key, nil)
	}
	if h.ends != failingLast {
		b.Queue(insert, c.key, h.label)
	}
	return b
}

// isOfTheWork tells of the error of a statement that has failed by itself.
func isOfTheWork(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && e.TableName == "effects" && e.ColumnName == "run"
}
