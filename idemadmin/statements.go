package idemadmin

import (
	"context"
	"embed"
	"strings"

	"github.com/georgysavva/scany/v2/pgxscan"
	"github.com/jackc/pgx/v5"

	"github.com/idemtx/idemtx/idemtx"
)

//go:embed sql/*.sql
var sqlFiles embed.FS

// parts of statements, each in a file of its own, and behind those that they are parts of.
var parts = []string{"rows", "parts", "keyholders", "keylocks"}

// statement is a file of sql/ with its parts and the store's table in it.
func statement(s *idemtx.Store, file string) string {
	sql := mustRead(file)
	for _, part := range parts {
		sql = strings.ReplaceAll(sql, "{"+part+"}", mustRead(part))
	}
	return strings.ReplaceAll(sql, "{table}", table(s)) // last: in a name, braces are braces
}

// selectAll reads the rows of a statement. It prepares none: behind a pooler, a statement
// that was prepared may be on another connection of the server than the next one is.
func selectAll(ctx context.Context, s *idemtx.Store, rows any, file string, args ...any) error {
	return pgxscan.Select(ctx, s.Pool(), rows, statement(s, file), append([]any{pgx.QueryExecModeExec}, args...)...)
}

// table is the store's, quoted and with its schema.
func table(s *idemtx.Store) string {
	config := s.Config()
	return pgx.Identifier{config.Schema, config.Table}.Sanitize()
}

func mustRead(file string) string {
	text, err := sqlFiles.ReadFile("sql/" + file + ".sql")
	if err != nil {
		panic(err) // the file is embedded, so its name here is wrong
	}
	return string(text)
}
