package idemtx

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/georgysavva/scany/v2/pgxscan"
	"github.com/jackc/pgx/v5"
)

var (
	//go:embed sql/verify_table.sql
	verifyTableSQL string

	//go:embed sql/verify_columns.sql
	verifyColumnsSQL string
)

// relation is what verify_table.sql finds under the table's name, as the role
// sees it.
type relation struct {
	ServerVersion int
	Role          string
	HasSchema     bool
	WithoutUsage  bool // there is a schema, and the role may not look into it

	OID         uint32 `db:"oid"`
	Kind        string // TABLE, VIEW and so on; empty when nothing is there
	Partitioned bool

	HashPartitioned    bool
	Moduli, Remainders []int32  // of the partitions
	Unlogged           []string // the table or those of its partitions, quoted

	RowSecurity       bool     // it hides rows from the role
	WithoutPrivileges []string // SELECT and so on

	PrimaryKey           string // empty when there is none
	PrimaryKeyColumns    []string
	PrimaryKeyDeferrable bool
	PrimaryKeyValid      bool

	Checks        []string
	OldClaimCheck bool // of the first release: it refuses a key that is retained

	NotValid []string // the constraints that older rows may break

	SweepIndex        string // the best that begins with expires_at; empty when there is none
	SweepIndexPartial bool
	SweepIndexValid   bool

	PartitionsWithoutIndex   []string // that could be a part of the table's; quoted
	PartitionsInvalidIndexes []string // those that could, and are not valid; quoted

	Columns []column `db:"-"` // those that differ
}

// column is one that verify_columns.sql finds to differ.
type column struct {
	Name  string
	Type  string
	Extra bool // not one of idemtx's, and an INSERT that leaves it out fails

	Missing, Generated, WrongType, RefusesNull, AcceptsNull, WrongDefault bool
}

// VerifySchema returns a [*SchemaError] that lists everything in which the table
// differs from what [Store.CreateSchema] makes, and everything the current role
// lacks. Each difference ends with its cure, in most cases SQL to be run by the
// table's owner. It changes nothing and reads no row.
//
// Constraints are compared by name, so one that was replaced by another of its
// name passes. Additional columns, constraints and indexes are fine as long as
// rows can be inserted without them.
func (s *Store) VerifySchema(ctx context.Context) error {
	found, err := s.inspect(ctx)
	if err != nil {
		return err
	}
	return s.verdict(found)
}

func (s *Store) inspect(ctx context.Context) (*relation, error) {
	found := new(relation)
	args := pgx.NamedArgs{"schema": s.config.Schema, "table": s.config.Table}
	err := pgxscan.Get(ctx, s.pool, found, verifyTableSQL, args)
	if err == nil && found.Kind == "TABLE" {
		err = pgxscan.Select(ctx, s.pool, &found.Columns, verifyColumnsSQL, pgx.NamedArgs{"oid": found.OID})
	}
	if err != nil {
		return nil, fmt.Errorf("idemtx: verify schema: %w", err)
	}
	return found, nil
}

func (s *Store) verdict(found *relation) error {
	differences := s.differences(found)
	if differences == nil {
		return nil
	}
	return &SchemaError{Table: s.quotedTable(), Differences: differences}
}

// minVersion is PostgreSQL 14, as server_version_num has it.
const minVersion = 140000

func (r *relation) tooOld() bool { return r.ServerVersion < minVersion }
