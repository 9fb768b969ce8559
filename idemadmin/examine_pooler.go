package idemadmin

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/idemtx/idemtx/idemtx"
)

const subjectPooler = "pooler"

// examinePooler compares the backend that this connection was told it has with the
// one that answers. A pooler cannot know the latter when it says hello, so it makes
// one up.
func examinePooler(ctx context.Context, s *idemtx.Store) ([]Finding, error) {
	conn, err := s.Pool().Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	told := conn.Conn().PgConn().PID()
	backend, err := backendOf(ctx, conn)
	switch {
	case refusesTransactions(err):
		return []Finding{{
			LevelBad, subjectPooler, "a pooler is in between, and refuses transactions: it pools statements",
			"set pool_mode = transaction or session",
		}}, nil
	case err != nil:
		return nil, err
	case told == backend:
		return ok(subjectPooler, "none is seen: the backend is the one that the connection was told of. "+
			"One that pools sessions and passes that on cannot be told from none"), nil
	}
	again, err := backendBeside(ctx, s.Pool(), conn)
	if err != nil {
		return nil, err
	}
	text := "one is in between, for another backend answers than the connection was told of"
	if again != backend {
		text += "; it pools transactions, for the backend has changed"
	} else {
		text += "; whether it pools transactions or sessions could not be found out"
	}
	return []Finding{pooled(text, s.Pool().Config().ConnConfig.DefaultQueryExecMode)}, nil
}

// refusesTransactions tells a pooler of statements by the error of BEGIN. No server
// takes that for a violation of the protocol.
func refusesTransactions(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == "08P01"
}

func backendOf(ctx context.Context, conn *pgxpool.Conn) (pid uint32, err error) {
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		var n int32
		err := tx.QueryRow(ctx, "SELECT pg_catalog.pg_backend_pid()", pgx.QueryExecModeExec).Scan(&n)
		pid = uint32(n)
		return err
	})
	return pid, err
}

// backendBeside asks while another connection of the pool has a transaction: behind a
// pooler of transactions, it may have the backend that conn had before.
func backendBeside(ctx context.Context, pool *pgxpool.Pool, conn *pgxpool.Conn) (pid uint32, err error) {
	if pool.Config().MaxConns < 2 {
		return backendOf(ctx, conn)
	}
	err = pgx.BeginFunc(ctx, pool, func(other pgx.Tx) error {
		if _, err := other.Exec(ctx, "SELECT 1", pgx.QueryExecModeExec); err != nil { // a pooler may wait for it
			return err
		}
		pid, err = backendOf(ctx, conn)
		return err
	})
	return pid, err
}

// pooled says what is right behind a pooler, of whose version and settings nothing
// can be known through it.
func pooled(text string, mode pgx.QueryExecMode) Finding {
	switch mode {
	case pgx.QueryExecModeDescribeExec:
		return Finding{
			LevelBad, subjectPooler, fmt.Sprintf("%s; pgx's %v may run another client's statement behind it, and no error tells", text, mode),
			"set default_query_exec_mode=exec in the URL",
		}
	case pgx.QueryExecModeCacheStatement:
		return Finding{
			LevelWarn, subjectPooler, fmt.Sprintf("%s; pgx's %v needs prepared statements, and whether it carries them cannot be known", text, mode),
			"make sure that it is PgBouncer 1.21 or later with max_prepared_statements above 0 (or one that can do the same), " +
				"or set default_query_exec_mode=exec in the URL",
		}
	}
	return Finding{LevelOK, subjectPooler, fmt.Sprintf("%s; pgx's %v is fine with either", text, mode), ""}
}
