package idemtx

import (
	"io/fs"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var selectOne = query{sql: "SELECT 1"}

// all returns the statements by their field's name, and the templates as they are
// around a statement.
func (s statements) all() map[string]string {
	all := map[string]string{}
	fields := reflect.ValueOf(s)
	for i := range fields.NumField() {
		if sql := fields.Field(i); sql.Kind() == reflect.String {
			all[fields.Type().Field(i).Name] = sql.String()
		}
	}
	all["batchStore"], all["batchReply"] = s.batchStore.around(selectOne).sql, s.batchReply.around(selectOne).sql
	return all
}

func TestTemplateHasItsParametersBehindThoseOfTheWork(t *testing.T) {
	t.Parallel()
	work := query{"SELECT $1, $2 -- so", append(make([]any, 0, 9), "a", "b")}
	got := templateOf("WITH w AS (\n{work}\n) SELECT {x}, {y} FROM {table}", "{z}").around(work, 1, 2)
	require.Equal(t, query{"WITH w AS (\nSELECT $1, $2 -- so\n) SELECT $3, $4 FROM {z}", []any{"a", "b", 1, 2}}, got)
	require.Nil(t, work.args[:3][2], "the work's arguments are somebody else's")
	require.Equal(t, "({y})", templateOf("({work})", "").around(query{sql: "{y}"}).sql, "the work is not read")
}

var (
	// relationName finds what stands where a table's name does. FOR UPDATE, DO
	// UPDATE and extract(epoch FROM ...) name none.
	relationName = regexp.MustCompile(`(?m)(?:^\s*(?:INSERT INTO|DELETE FROM|UPDATE|FROM)|SELECT [a-z, ]*FROM)\s+([^\s(]+)`)
	parameter    = regexp.MustCompile(`\$\d+`)
	// commonTable finds what WITH names.
	commonTable = regexp.MustCompile(`(\w+) AS (?:MATERIALIZED )?\(`)
)

// tableless statements are about advisory locks, or the work's own row.
var tableless = map[string]bool{"lock": true, "probe": true, "batchLock": true, "batchReply": true}

func TestEachStatementNamesItsTableInFull(t *testing.T) {
	t.Parallel()
	const table = `"Sch""ema"."order"`
	for name, sql := range statementsFor(`Sch"ema`, "order").all() {
		require.NotEmpty(t, sql, name)
		var common []string
		for _, found := range commonTable.FindAllStringSubmatch(sql, -1) {
			common = append(common, found[1])
		}
		names := relationName.FindAllStringSubmatch(sql, -1)
		for _, found := range names {
			if slices.Contains(common, strings.TrimRight(found[1], "),")) {
				continue
			}
			require.Equal(t, table, found[1], "%s: %s", name, sql)
		}
		if !tableless[name] {
			require.NotEmpty(t, names, name)
		}
		require.Equal(t, strings.Count(sql, "order"), strings.Count(sql, table), name)
	}
}

func TestNoPlaceholderAndNoCommentIsLeft(t *testing.T) {
	t.Parallel()
	for name, sql := range statementsFor("public", "replies").all() {
		require.NotContains(t, sql, "{", name)
		require.NotContains(t, sql, "}", name)
		require.NotContains(t, sql, "--", name)
		require.NotContains(t, sql, "/*", name)
		require.NotContains(t, sql, ";", name) // pgx's simple protocol joins them with its own
		require.Equal(t, strings.TrimSpace(sql), sql, name)
	}
}

func TestANameIsNotRead(t *testing.T) {
	t.Parallel()
	const schema = "{table}\n-- ' $1 \"; DROP"
	for name, sql := range statementsFor(schema, "replies").all() {
		if !tableless[name] {
			require.Contains(t, sql, "\"{table}\n-- ' $1 \"\"; DROP\".\"replies\"", name)
		}
	}
}

func TestTheParametersOfAStatementHaveNoGap(t *testing.T) {
	t.Parallel()
	for name, sql := range statementsFor("public", "replies").all() {
		numbers := map[string]bool{}
		for _, p := range parameter.FindAllString(sql, -1) {
			numbers[p] = true
		}
		for i := range len(numbers) {
			require.Contains(t, numbers, "$"+strconv.Itoa(i+1), name)
		}
	}
}

func TestOnlyPutSkipsAKeyThatIsTaken(t *testing.T) {
	t.Parallel()
	all := statementsFor("public", "replies").all()
	for name, sql := range all {
		require.Equal(t, name == "put", strings.Contains(sql, "DO NOTHING"), name)
	}
	require.True(t, strings.HasSuffix(all["store"], "HAVING 1 / count(*) = 1"), "a reply that is swallowed is an error")
	require.NotContains(t, all["store"], "ON CONFLICT")
}

// The start of a transaction is no time at which anything is written.
func TestTheClockIsTheServersAndDoesNotStandStill(t *testing.T) {
	t.Parallel()
	for name, sql := range statementsFor("public", "replies").all() {
		require.NotRegexp(t, `(?i)\bnow\s*\(|current_timestamp|localtime|statement_timestamp`, sql, name)
	}
}

func TestEachFileIsUsed(t *testing.T) {
	t.Parallel()
	statements := statementsFor("public", "replies")
	used := strings.Join(mapValues(statements.all()), "\n") +
		createSQL + createNamespaceSQL + createLockSQL + verifyTableSQL + verifyColumnsSQL
	files, err := fs.Glob(sqlFiles, "sql/*.sql")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		text, err := sqlFiles.ReadFile(file)
		require.NoError(t, err)
		sql := strings.ReplaceAll(withoutComments(string(text)), "{insert}", mustRead("insert"))
		sql = templateOf(sql, `"public"."replies"`).around(selectOne).sql
		require.True(t, strings.Contains(used, sql) || strings.Contains(used, string(text)), file)
	}
}

func mapValues(m map[string]string) (values []string) {
	for _, v := range m {
		values = append(values, v)
	}
	return values
}

func TestCommentsAreDroppedByTheLine(t *testing.T) {
	t.Parallel()
	require.Equal(t, "SELECT '--'\n\tFROM a -- b", withoutComments("-- one\n\nSELECT '--'\n\t-- two\n\tFROM a -- b\n--\n"))
	require.Empty(t, withoutComments("-- only\n"))
	require.Empty(t, withoutComments(""))
}
