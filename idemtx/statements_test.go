package idemtx

import (
	"io/fs"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// all returns the statements by their field's name.
func (s statements) all() map[string]string {
	all := map[string]string{}
	fields := reflect.ValueOf(s)
	for i := range fields.NumField() {
		all[fields.Type().Field(i).Name] = fields.Field(i).String()
	}
	return all
}

var (
	// relationName finds what stands where a table's name does. FOR UPDATE, DO
	// UPDATE and extract(epoch FROM ...) name none.
	relationName = regexp.MustCompile(`(?m)(?:^\s*(?:INSERT INTO|DELETE FROM|UPDATE|FROM)|SELECT [a-z, ]+ FROM)\s+([^\s(]+)`)
	parameter    = regexp.MustCompile(`\$\d+`)
)

func TestEachStatementNamesItsTableInFull(t *testing.T) {
	t.Parallel()
	const table = `"Sch""ema"."order"`
	for name, sql := range statementsFor(`Sch"ema`, "order").all() {
		require.NotEmpty(t, sql, name)
		names := relationName.FindAllStringSubmatch(sql, -1)
		for _, found := range names {
			require.Equal(t, table, found[1], "%s: %s", name, sql)
		}
		if name != "lock" && name != "probe" { // advisory locks have no table
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
		if name != "lock" && name != "probe" {
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
			require.Contains(t, numbers, "$"+string(rune('1'+i)), name)
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
	used := strings.Join(mapValues(statementsFor("public", "replies").all()), "\n") +
		createSQL + createNamespaceSQL + createLockSQL + verifyTableSQL + verifyColumnsSQL
	files, err := fs.Glob(sqlFiles, "sql/*.sql")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		text, err := sqlFiles.ReadFile(file)
		require.NoError(t, err)
		sql := strings.NewReplacer("{insert}", mustRead("insert"), "{table}", `"public"."replies"`).
			Replace(withoutComments(string(text)))
		sql = strings.ReplaceAll(sql, "{table}", `"public"."replies"`) // in the insert
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
