package cases

import (
	"context"
	"fmt"
	"time"
)

// Server is what PostgreSQL has counted. A part that it does not count is
// negative.
type Server struct {
	Statements  float64
	Commits     float64 // those that wrote nothing, too
	Syncs       float64 // of the WAL: durable commits, where one client is alone
	RowVersions float64 // beside those of the effects
	WAL         float64 // bytes
}

func (s Server) minus(o Server) Server {
	return Server{
		s.Statements - o.Statements, s.Commits - o.Commits, s.Syncs - o.Syncs, s.RowVersions - o.RowVersions, s.WAL - o.WAL,
	}
}

func (s Server) per(n float64) Server {
	return Server{s.Statements / n, s.Commits / n, s.Syncs / n, s.RowVersions / n, s.WAL / n}
}

const (
	// One statement however long it waits, so that waiting is not counted.
	untilAlone = `DO $$ BEGIN
		LOOP
			PERFORM pg_stat_clear_snapshot();
			EXIT WHEN NOT EXISTS (SELECT FROM pg_stat_activity
				WHERE backend_type = 'client backend' AND datname = current_database()
					AND application_name <> '` + AdminName + `');
			PERFORM pg_sleep(0.002);
		END LOOP;
	END $$`
	flush         = `SELECT pg_stat_force_next_flush()` // PostgreSQL 15
	hasStatements = `SELECT count(*)::float8 FROM pg_extension WHERE extname = 'pg_stat_statements'`
	statements    = `SELECT coalesce(sum(calls), 0)::float8 FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
		WHERE d.datname = current_database()`
	commits     = `SELECT xact_commit::float8 FROM pg_stat_database WHERE datname = current_database()`
	rowVersions = `SELECT coalesce(sum(n_tup_ins + n_tup_upd), 0)::float8 FROM pg_stat_user_tables WHERE relname <> 'effects'`
	wal         = `SELECT wal_bytes::float8 FROM pg_stat_wal`
	syncs       = `SELECT wal_sync::float8 FROM pg_stat_wal`
	syncsSince  = `SELECT coalesce(sum(fsyncs), 0)::float8 FROM pg_stat_io WHERE object = 'wal'` // PostgreSQL 18
)

// AdminName is the application name of the connections that are not counted.
const AdminName = "idemtx benchmarks"

// server reads the counters when the last contender's connection has ended: a
// backend reports what it did no later than that.
func (b *Bench) server(ctx context.Context) (s Server, err error) {
	waiting, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := b.exec(waiting, untilAlone); err != nil {
		return Server{}, err
	}
	read := func(sql string) (value float64) {
		if err == nil {
			err = b.Admin.QueryRow(ctx, sql).Scan(&value)
		}
		return value
	}
	version := read("SELECT current_setting('server_version_num')::float8")
	if err == nil && version >= 150000 {
		err = b.exec(ctx, flush)
	}
	syncs := syncs
	if version >= 180000 {
		syncs = syncsSince
	}
	s.Statements = -1
	if read(hasStatements) > 0 {
		s.Statements = read(statements)
	}
	s.Commits, s.Syncs, s.RowVersions, s.WAL = read(commits), read(syncs), read(rowVersions), read(wal)
	if err != nil {
		return Server{}, fmt.Errorf("read the counters: %w", err)
	}
	return s, nil
}
