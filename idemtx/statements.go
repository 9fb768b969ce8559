package idemtx

import (
	"embed"
	"strings"

	"github.com/jackc/pgx/v5"
)

//go:embed sql/*.sql
var sqlFiles embed.FS

// statements are the files of sql/, with the table's name in them.
type statements struct {
	lock, probe, look, bury, store, ours string // the co-transaction
	claim, renew, complete, release      string // pool mode
	put, sweep                           string
}

func statementsFor(schema, table string) statements {
	insert, name := mustRead("insert"), pgx.Identifier{schema, table}.Sanitize()
	read := func(file string) string {
		return strings.ReplaceAll(strings.Replace(mustRead(file), "{insert}", insert, 1), "{table}", name)
	}
	return statements{
		lock: read("lock"), probe: read("probe"), look: read("look"), bury: read("bury"),
		store: read("store"), ours: read("ours"),
		claim: read("claim"), renew: read("renew"), complete: read("complete"), release: read("release"),
		put: read("put"), sweep: read("sweep"),
	}
}

func mustRead(file string) string {
	text, err := sqlFiles.ReadFile("sql/" + file + ".sql")
	if err != nil {
		panic(err) // the file is embedded, so its name here is wrong
	}
	return withoutComments(string(text))
}

// withoutComments drops the lines that are for readers: in some of pgx's exec
// modes every call would send them to the server.
func withoutComments(sql string) string {
	var kept []string
	for line := range strings.Lines(sql) {
		line = strings.TrimRight(line, "\n")
		if text := strings.TrimSpace(line); text != "" && !strings.HasPrefix(text, "--") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}
