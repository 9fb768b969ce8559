package command

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/idemtx/idemtx/idemtx"
)

// connections is enough for one question at a time, and for one that asks another.
const connections = 2

// open returns the store that the flags name, after changes to its configuration. It
// does not connect.
func (p *Program) open(change ...func(*idemtx.Config)) (*idemtx.Store, func(), error) {
	url := cmp.Or(p.flags.databaseURL, p.Getenv("DATABASE_URL"))
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, nil, unparsed(url, err)
	}
	if !p.asApplication && !strings.Contains(url, "default_query_exec_mode") {
		config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec // which works behind any pooler
	}
	config.MaxConns, config.MinConns, config.MinIdleConns = connections, 0, 0
	if config.ConnConfig.RuntimeParams["application_name"] == "" {
		config.ConnConfig.RuntimeParams["application_name"] = "idemtx"
	}
	secret, err := p.keySecret()
	if err != nil {
		return nil, nil, err
	}
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		return nil, nil, err
	}
	of := idemtx.Config{Schema: p.flags.schema, Table: p.flags.table, KeySecret: secret}
	for _, c := range change {
		c(&of)
	}
	store, err := idemtx.New(pool, of)
	if err != nil {
		pool.Close()
		return nil, nil, &exit{misused, err}
	}
	return store, pool.Close, nil
}

// unparsed quotes nothing of a URL: what a password with a character too many is
// taken for may be in any part of the text.
func unparsed(url string, err error) error {
	var parse *pgconn.ParseConfigError
	if url != "" || !errors.As(err, &parse) || errors.Unwrap(parse) == nil {
		return misuse("the database URL is neither a URL nor keywords and values as libpq has them, or a file that it names cannot be read")
	}
	return misuse("the environment names no database: %w", errors.Unwrap(parse))
}

// keySecret is nil without --key-secret-file.
func (p *Program) keySecret() (idemtx.Secret, error) {
	if p.flags.keySecretFile == "" {
		return nil, nil
	}
	secret, err := os.ReadFile(p.flags.keySecretFile)
	if err != nil {
		return nil, misuse("--key-secret-file: %w", err)
	}
	secret = bytes.TrimSuffix(bytes.TrimSuffix(secret, []byte("\n")), []byte("\r"))
	if len(secret) == 0 {
		return nil, misuse("--key-secret-file: the file is empty")
	}
	return secret, nil
}

// errLate tells that --timeout has ended a question. A connection, whose time
// PGCONNECT_TIMEOUT may have ended, fails of something else.
var errLate = errors.New("the database has not answered in time")

// question bounds one question to the database.
func (p *Program) question(ctx context.Context, ask func(context.Context) error) error {
	if p.flags.timeout <= 0 {
		return ask(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, p.flags.timeout)
	defer cancel()
	err := ask(ctx)
	if errors.Is(err, context.DeadlineExceeded) && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%w: %w", errLate, err)
	}
	return err
}

// asks makes a command of one question to the store.
func (p *Program) asks(f func(ctx context.Context, s *idemtx.Store, args []string) error) func(context.Context, []string) error {
	return func(ctx context.Context, args []string) error {
		s, closePool, err := p.open()
		if err != nil {
			return err
		}
		defer closePool()
		return p.question(ctx, func(ctx context.Context) error { return f(ctx, s, args) })
	}
}

// moment is a time for people; zero is none.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}
