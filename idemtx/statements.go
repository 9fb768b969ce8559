package idemtx

import (
	"embed"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

//go:embed sql/*.sql
var sqlFiles embed.FS

// statements are the files of sql/, with the table's name in them.
type statements struct {
	lock, probe, look, confirm, bury, store, ours string // the co-transaction
	claim, renew, complete, release               string // pool mode
	put, sweep                                    string

	batchLock, batchFree, batchOurs string // the pipeline
	batchStore, batchReply          template
}

// template is a statement that holds another one, with the other's parameters in
// front of its own: text and the names of what stands between, by turns.
type template []string

func templateOf(sql, table string) (t template) {
	text := ""
	for i, part := range strings.FieldsFunc(sql, func(r rune) bool { return r == '{' || r == '}' }) {
		switch {
		case i%2 == 0:
			text += part
		case part == "table":
			text += table // in which braces are braces
		default:
			t = append(t, text, part)
			text = ""
		}
	}
	return append(t, text)
}

// around returns q in the template, whose further parameters are args, in the order
// of the text.
func (t template) around(q query, args ...any) query {
	var sql strings.Builder
	n := len(q.args)
	for i, part := range t {
		switch {
		case i%2 == 0:
			sql.WriteString(part)
		case part == "work":
			sql.WriteString(q.sql)
		default:
			n++
			sql.WriteString("$" + strconv.Itoa(n))
		}
	}
	return query{sql.String(), slices.Concat(q.args, args)}
}

func statementsFor(schema, table string) statements {
	insert, name := mustRead("insert"), pgx.Identifier{schema, table}.Sanitize()
	read := func(file string) string {
		return strings.ReplaceAll(strings.Replace(mustRead(file), "{insert}", insert, 1), "{table}", name)
	}
	return statements{
		lock: read("lock"), probe: read("probe"), look: read("look"), confirm: read("confirm"), bury: read("bury"),
		store: read("store"), ours: read("ours"),
		claim: read("claim"), renew: read("renew"), complete: read("complete"), release: read("release"),
		put: read("put"), sweep: read("sweep"),
		batchLock: read("batch_lock"), batchFree: read("batch_free"), batchOurs: read("batch_ours"),
		batchStore: templateOf(mustRead("batch_store"), name), batchReply: templateOf(mustRead("batch_reply"), name),
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
