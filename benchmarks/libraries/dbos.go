package libraries

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/idemtx/idemtx/benchmarks/contender"
)

// dbosTransact is a workflow of one transaction, whose id is the key.
//
// Workflows and effects share a pool, so that a step commits with its effect,
// which takes fewer statements and commits than a pool each.
func dbosTransact() contender.Contender {
	return contender.Contender{
		Name: "DBOS",
		Kind: contender.Peer,
		About: "dbos-transact-golang v1.8.0 RunAsTransaction on its system database's pool: 3 commits, 17 statements (replay: 1, 5); " +
			"atomic, finished by its recovery after a crash",
		Open: openDBOS,
	}
}

// order is the input of a workflow, which DBOS stores.
type order struct {
	Key     string          `json:"key"`
	Payload json.RawMessage `json:"payload"`
}

func openDBOS(ctx context.Context, e contender.Env) (contender.Handle, func(), error) {
	// DBOS keeps one connection of the pool for notifications, for good.
	e.MaxConns++
	pool, err := e.Pool(ctx)
	if err != nil {
		return nil, nil, err
	}
	// Not ctx, which may end before the workflows do.
	root, err := dbos.NewContext(context.WithoutCancel(ctx), dbos.Config{
		AppName:            "idemtx-benchmarks",
		SystemDBPool:       pool,
		DatabaseSchema:     e.Schema,
		ApplicationVersion: "1", // spares a hash of this program
		Logger:             slog.New(slog.DiscardHandler),
	})
	if err != nil {
		pool.Close()
		return nil, nil, err
	}
	shut := func() { _ = root.Shutdown(root, 10*time.Second) } // closes the pool as well
	handle, err := launchDBOS(root, pool, e)
	if err != nil {
		shut()
		return nil, nil, err
	}
	return handle, shut, nil
}

func launchDBOS(root dbos.Context, pool *pgxpool.Pool, e contender.Env) (contender.Handle, error) {
	source, err := dbos.NewDataSource(root, pool)
	if err != nil {
		return nil, err
	}
	workflow := orderWorkflow(source, e)
	dbos.RegisterWorkflow(root, workflow, dbos.WithWorkflowName("order"))
	if err := root.Launch(); err != nil {
		return nil, err
	}
	return func(_ context.Context, r contender.Request) ([]byte, bool, error) {
		ran := false
		handle, err := dbos.RunWorkflow(dbos.WithValue(root, ranKey{}, &ran), workflow,
			order{r.Key, r.Payload}, dbos.WithWorkflowID(r.Key))
		if err != nil {
			return nil, false, err
		}
		// The interval is for a workflow that another call runs.
		body, err := handle.GetResult(dbos.WithHandlePollingInterval(10 * time.Millisecond))
		return []byte(body), !ran, err
	}, nil
}

// ranKey is where a workflow notes that it ran, so that this was no replay.
type ranKey struct{}

// orderWorkflow returns a string, because a raw JSON value that DBOS kept has
// other bytes when it contains <, > or &.
func orderWorkflow(source *dbos.DataSource, e contender.Env) dbos.Workflow[order, string] {
	effect := e.Effect()
	return func(ctx dbos.Context, o order) (string, error) {
		if ran, ok := ctx.Value(ranKey{}).(*bool); ok {
			*ran = true
		}
		return dbos.RunAsTransaction(ctx, source, func(ctx context.Context, tx dbos.Tx) (string, error) {
			var id int64
			if err := tx.QueryRow(ctx, effect, o.Key).Scan(&id); err != nil {
				return "", err
			}
			return string(e.ReplyTo(id)), nil
		})
	}
}
