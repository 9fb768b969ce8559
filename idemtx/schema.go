package idemtx

import (
	"context"
	_ "embed"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
)

var (
	//go:embed sql/create.sql
	createSQL string

	//go:embed sql/create_namespace.sql
	createNamespaceSQL string

	//go:embed sql/create_lock.sql
	createLockSQL string
)

// Suffixes of the names derived from the table's. maxTable leaves room for the
// longest.
const (
	pkeySuffix  = "_pkey"
	indexSuffix = "_expires_at_idx"
)

// maxIdentifier is what PostgreSQL keeps of a name; it cuts off the rest.
const maxIdentifier = 63

func validSchemaName(name string) bool {
	return name != "" && len(name) <= maxIdentifier && utf8.ValidString(name) && !strings.ContainsRune(name, 0)
}

// CreateSchema makes sure that the table is there and is right. When it is, no
// DDL is run, so a role that may only read and write rows can call it at every
// start. What is missing is created whole or not at all; any number of replicas
// may do so at once.
//
// A table that is there and differs is left alone: the error is a
// [*SchemaError], as of [Store.VerifySchema]. That goes for a missing index too,
// because to create it here would keep others from writing the table.
func (s *Store) CreateSchema(ctx context.Context) error {
	found, err := s.inspect(ctx)
	if err != nil {
		return err
	}
	if found.Kind != "" || found.tooOld() {
		return s.verdict(found)
	}
	createErr := s.create(ctx, !found.HasSchema)
	// Even after a failure: a migration, which does not take the lock, may have
	// been faster.
	err = s.VerifySchema(ctx)
	if err != nil && createErr != nil {
		return fmt.Errorf("idemtx: create table %s: %w", s.quotedTable(), createErr)
	}
	return err
}

// create sends everything as one query string, which PostgreSQL runs as one
// transaction.
func (s *Store) create(ctx context.Context, withNamespace bool) error {
	ddl := createSQL
	if withNamespace {
		ddl = createNamespaceSQL + ddl
	}
	_, err := s.pool.Exec(ctx, createLockSQL+s.named(ddl)+s.config.partitionsSQL())
	return err
}

// SchemaSQL returns the statements that [Store.CreateSchema] runs, for goose,
// tern, Atlas, psql or whatever else applies migrations. They do nothing to a table
// that is there already, so call [Store.VerifySchema] at the start of the program; one
// that is not partitioned as they would have it is an error.
//
// For a schema other than public they begin with CREATE SCHEMA IF NOT EXISTS, and
// with [Config.Partitions] they make the partitions, too.
func (s *Store) SchemaSQL() string { return s.whole(createSQL) }

// whole is what makes a table, with the schema it is in and its partitions.
func (s *Store) whole(create string) string {
	if s.config.Schema != "public" {
		create = createNamespaceSQL + create
	}
	return s.named(create) + s.config.partitionsSQL()
}

// named fills in the names in one pass: a schema may itself be called {table}.
func (s *Store) named(sql string) string {
	return strings.NewReplacer(
		"{schema}", quoted(s.config.Schema),
		"{table}", s.quotedTable(),
		"{pkey}", quoted(s.config.Table+pkeySuffix),
		"{index}", quoted(s.config.Table+indexSuffix),
		"{partitioned}", s.config.partitionedBy(),
	).Replace(sql)
}

func (s *Store) quotedTable() string { return quoted(s.config.Schema, s.config.Table) }

func quoted(name ...string) string { return pgx.Identifier(name).Sanitize() }

// cureMissing is no SQL, because SchemaSQL has it.
const cureMissing = "call CreateSchema, or put SchemaSQL into your migrations"

// missingSchema says what an SQLSTATE tells about the table, without asking the
// database, or returns nil when it tells nothing. The statement has to be one of
// idemtx's own: a handler's may miss a table of its own.
func (s *Store) missingSchema(code string) *SchemaError {
	var difference string
	switch code {
	case "42P01", "3F000": // undefined_table, invalid_schema_name
		difference = withCure("the table is missing", cureMissing)
	case "42703": // undefined_column
		difference = withCure("a column is missing", "call VerifySchema, which says which")
	default:
		return nil
	}
	return &SchemaError{Table: s.quotedTable(), Differences: []string{difference}}
}
