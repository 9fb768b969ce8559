package integration

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const plansFolder = "testdata/plans"

// unsent are the files of idemtx/sql that no call sends: a part of others, and what
// makes and verifies the table, which reads the catalogs alone.
var unsent = []string{
	"insert", "create", "create_lock", "create_namespace", "verify_table", "verify_columns",
}

// TestPlans keeps each statement that idemtx sends to the plan in its golden file,
// and all of them off a scan of the table. The statements are those that stores have
// sent, so that none is forgotten.
func TestPlans(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	fill(f)
	files := statementFiles(t)
	planned, plain := map[string]bool{}, []string{}
	for sql, args := range sendAll(t, f) {
		text := withoutSpace(strings.ReplaceAll(sql, `"`+f.schema+`"."idemtx_replies"`, "<table>"))
		i := slices.IndexFunc(files, func(f statementFile) bool { return f.matches.MatchString(text) })
		if i < 0 {
			require.NotContains(t, text, "<table>", "it is in no file of idemtx/sql, and has no golden file")
			require.NotContains(t, text, f.schema, "a table that has no name in a golden file")
			plain = append(plain, text)
			continue
		}
		name := files[i].name
		planned[name] = true
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plans := plansOf(t, sql, args)
			if name == "sweep" {
				// A LIMIT that is not known is planned for a tenth of all rows. The
				// server finds that dearer than a plan for the LIMIT it is given,
				// and does not settle on it.
				delete(plans, forAnyArguments)
			}
			for mode, plan := range plans {
				plan.requireIndexes(t)
				requireGolden(t, name, plan.text(), mode)
			}
		})
	}
	for _, file := range files {
		require.NotEqual(t, slices.Contains(unsent, file.name), planned[file.name], "%s was sent: %t", file.name, planned[file.name])
	}
	slices.Sort(plain)
	requireGolden(t, "without_a_table", strings.Join(plain, "\n")+"\n", "statements")
	planned["without_a_table"] = true
	requireNoOther(t, planned)
}

// fill makes the table as large as that of a service with ten thousand customers:
// most replies are live, a hundredth has expired, and a few keys are claimed.
func fill(f *fixture) {
	f.t.Helper()
	exec(f.t, `INSERT INTO `+f.table()+` (scope, key, fingerprint, response, lease_id, lease_until, created_at, expires_at)
		SELECT 'customer ' || n % 10000, md5(n::text), sha256(n::text::bytea),
			CASE WHEN NOT claimed THEN '{"number": 1}'::jsonb END, CASE WHEN claimed THEN gen_random_uuid() END,
			CASE WHEN claimed THEN clock_timestamp() + interval '1 minute' END, expires_at - interval '1 day', expires_at
		FROM generate_series(1, 100000) AS n, LATERAL (SELECT n > 99900 AS claimed,
			clock_timestamp() + (n - 1000) * interval '0.864 seconds' AS expires_at) AS row`)
	exec(f.t, "ANALYZE "+f.table())
}

// statementFile is a file of idemtx/sql, and finds the statement that it holds.
type statementFile struct {
	name    string
	matches *regexp.Regexp
}

var placeholder = regexp.MustCompile(`\\\{\w+\\\}`) // in a text that is quoted for a pattern

// statementFiles returns the files of idemtx/sql. In the statements that they match,
// <table> is the table's name, and the work of a batch is batchWork.
func statementFiles(t *testing.T) (files []statementFile) {
	t.Helper()
	paths, err := filepath.Glob("../idemtx/sql/*.sql")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	insert := statementIn(t, "../idemtx/sql/insert.sql")
	for _, path := range paths {
		text := strings.NewReplacer("{insert}", insert, "{work}", batchWork).Replace(statementIn(t, path))
		pattern := strings.ReplaceAll(regexp.QuoteMeta(withoutSpace(text)), `\{table\}`, "<table>")
		pattern = "^" + placeholder.ReplaceAllString(pattern, `\$$\d+`) + "$" // of a parameter's number
		files = append(files, statementFile{
			strings.TrimSuffix(filepath.Base(path), ".sql"), regexp.MustCompile(pattern),
		})
	}
	return files
}

// statementIn is a file without its comments.
func statementIn(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	var kept []string
	for line := range strings.Lines(string(content)) {
		if !strings.HasPrefix(strings.TrimSpace(line), "--") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

func withoutSpace(sql string) string { return strings.Join(strings.Fields(sql), " ") }

// requireGolden compares a text with a golden file, or writes it when the tests run
// with -update.
func requireGolden(t *testing.T, name, text, what string) {
	t.Helper()
	file := filepath.Join(plansFolder, name+".txt")
	if *update {
		require.NoError(t, os.MkdirAll(plansFolder, 0o755))
		require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), text, "%s; write it with: go test ./integration -run TestPlans -update", what)
}

// requireNoOther requires that there are golden files of these names alone.
func requireNoOther(t *testing.T, names map[string]bool) {
	t.Helper()
	paths, err := filepath.Glob(plansFolder + "/*.txt")
	require.NoError(t, err)
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".txt")
		require.Contains(t, names, name, "%s is about a statement that is not sent any more", path)
	}
}
