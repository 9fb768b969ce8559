package idemtx

import (
	"embed"
	"io/fs"
	"strconv"
	"strings"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// Migration is a step in the life of the table, for a tool that keeps a record of
// those it has applied.
type Migration struct {
	Version int    // from 1 on, without a gap
	Name    string // of letters and underscores
	SQL     string // to be run in a transaction of its own
}

// Migrations returns all steps from nothing to the table of this release, in their
// order. [Store.SchemaSQL] comes to the same in one. A release changes no step of an
// earlier one and adds its own at the end: give them to goose, tern or Atlas, a file for
// each, and apply what is new before the release that needs it is deployed.
func (s *Store) Migrations() []Migration {
	files, err := fs.Glob(migrationFiles, "migrations/*.sql") // which sorts them
	if err != nil {
		panic(err) // the pattern is wrong
	}
	steps := make([]Migration, len(files))
	for i, file := range files {
		steps[i] = s.migration(file)
	}
	return steps
}

func (s *Store) migration(file string) Migration {
	text, err := migrationFiles.ReadFile(file)
	if err != nil {
		panic(err) // it is embedded
	}
	number, name, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(file, "migrations/"), ".sql"), "_")
	version, err := strconv.Atoi(number)
	if err != nil {
		panic(err) // the file has another name than the others
	}
	sql := s.named(string(text))
	if version == 1 {
		sql = s.whole(string(text))
	}
	return Migration{Version: version, Name: name, SQL: sql}
}
