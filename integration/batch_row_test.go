package integration

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// The reply is the row of the last statement, its columns by their names, whatever
// these and the statement look like.
func TestBatchReplyIsTheRow(t *testing.T) {
	t.Parallel()
	inEveryExecMode(t, replyIsTheRow)
}

func replyIsTheRow(t *testing.T, via option) {
	t.Helper()
	f := newFixture(t, via)
	exec(t, replace(f, "CREATE TABLE $.reply (id int); INSERT INTO $.reply VALUES (5)"))
	for sql, want := range map[string]string{
		"VALUES (1, 'two')":                                  `{"column1": 1, "column2": "two"}`,
		"SELECT NULL AS nothing":                             `{"nothing": null}`,
		"SELECT 1 AS a -- and a comment":                     `{"a": 1}`,
		"SELECT 1 AS a /* and another */":                    `{"a": 1}`,
		"SELECT '{key} {work} $1' AS a":                      `{"a": "{key} {work} $1"}`,
		"SELECT 1 AS reply":                                  `{"reply": 1}`,
		"SELECT 1 AS reply, 2 AS stored":                     `{"reply": 1, "stored": 2}`,
		"SELECT 1 AS now, 2 AS response":                     `{"now": 1, "response": 2}`,
		"SELECT * FROM $.reply":                              `{"id": 5}`,
		"SELECT reply FROM $.reply":                          `{"reply": {"id": 5}}`,
		"WITH a AS (SELECT 1 AS n) SELECT n FROM a":          `{"n": 1}`,
		"SELECT '{\"a\":[1,2]}'::jsonb AS j, true AS t":      `{"j": {"a": [1, 2]}, "t": true}`,
		"INSERT INTO $.reply VALUES (6) RETURNING *":         `{"id": 6}`,
		"UPDATE $.reply SET id = 7 WHERE id = 6 RETURNING *": `{"id": 7}`,
		"DELETE FROM $.reply WHERE id = 5 RETURNING id":      `{"id": 5}`,
	} {
		if strings.HasPrefix(sql, "UPDATE") {
			exec(t, replace(f, "INSERT INTO $.reply SELECT 6 EXCEPT SELECT id FROM $.reply"))
		}
		if strings.HasPrefix(sql, "SELECT") || strings.HasPrefix(sql, "DELETE") {
			exec(t, replace(f, "TRUNCATE $.reply; INSERT INTO $.reply VALUES (5)"))
		}
		work := batchOf(replace(f, sql))
		r := f.request("k")
		r.Payload = sql
		for i := range 2 {
			reply, err := idemtx.DoBatch[json.RawMessage](t.Context(), f.store, r, work)
			require.NoError(t, err, sql)
			require.Equal(t, i > 0, reply.Replayed, sql)
			require.JSONEq(t, want, string(reply.Value), sql)
		}
		f.expire("k") // the next one goes on as Do would, and has to reply the same
		r.Payload = sql + " again"
		if strings.HasPrefix(sql, "SELECT") || strings.HasPrefix(sql, "VALUES") || strings.HasPrefix(sql, "WITH") {
			reply, err := idemtx.DoBatch[json.RawMessage](t.Context(), f.store, r, work)
			require.NoError(t, err, sql)
			require.JSONEq(t, want, string(reply.Value), sql)
		}
		exec(t, replace(f, "DELETE FROM @"))
	}
}
