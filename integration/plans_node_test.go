package integration

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// node is a step of a plan and those below it, as EXPLAIN tells it.
type node struct {
	Type      string   `json:"Node Type"`
	Operation string   `json:"Operation"`
	Relation  string   `json:"Relation Name"`
	Index     string   `json:"Index Name"`
	Cond      string   `json:"Index Cond"`
	Arbiters  []string `json:"Conflict Arbiter Indexes"`
	Conflict  string   `json:"Conflict Resolution"`
	CTE       string   `json:"CTE Name"`
	Subplan   string   `json:"Subplan Name"`
	Plans     []node   `json:"Plans"`
}

// The values of plan_cache_mode.
const (
	forItsArguments = "force_custom_plan"
	forAnyArguments = "force_generic_plan"
	settledOn       = "auto" // what the server finds cheaper, once it has made a few of the former
)

// plansOf returns a statement's plans by plan_cache_mode.
func plansOf(t *testing.T, sql string, args []any) map[string]node {
	t.Helper()
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, serverURL())
	require.NoError(t, err)
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, "PREPARE explained AS "+sql)
	require.NoError(t, err)
	plans := map[string]node{}
	for _, mode := range []string{forItsArguments, forAnyArguments, settledOn} {
		_, err = conn.Exec(ctx, "SET plan_cache_mode = "+mode)
		require.NoError(t, err)
		for range 10 {
			plans[mode] = explained(t, conn, args)
		}
	}
	return plans
}

// explained is the plan of the statement that the connection has prepared.
func explained(t *testing.T, conn *pgx.Conn, args []any) node {
	t.Helper()
	execute := "EXECUTE explained"
	for i := range args {
		execute += fmt.Sprintf("%c $%d", "(,"[min(i, 1)], i+1)
	}
	if len(args) > 0 {
		execute += ")"
	}
	// Of all modes this one can put arguments into an EXECUTE.
	args = append([]any{pgx.QueryExecModeSimpleProtocol}, args...)
	var text string
	err := conn.QueryRow(t.Context(), "EXPLAIN (FORMAT JSON, COSTS OFF) "+execute, args...).Scan(&text)
	require.NoError(t, err)
	var all []struct{ Plan node }
	require.NoError(t, json.Unmarshal([]byte(text), &all))
	require.Len(t, all, 1)
	return all[0].Plan
}

// conditioned finds the column in front of each comparison of an index condition.
var conditioned = regexp.MustCompile(`\((?:\w+\.)?(\w+) [<>=]+ `)

// text is the node in a line and those below it in others. What the versions of
// PostgreSQL write differently, such as the number of a parameter, is left out.
func (n node) text() string {
	line := n.Type
	switch {
	case n.Type == "ModifyTable":
		line = n.Operation + " on " + n.Relation
		if n.Conflict != "" {
			line += ", on conflict " + n.Conflict + " by " + strings.Join(n.Arbiters, ", ")
		}
	case n.Index != "":
		line += " using " + n.Index + " on " + n.Relation + " by"
		for _, column := range conditioned.FindAllStringSubmatch(n.Cond, -1) {
			line += " " + column[1]
		}
	case n.Relation != "":
		line += " on " + n.Relation
	case n.CTE != "":
		line += " on " + n.CTE
	}
	switch {
	case strings.HasPrefix(n.Subplan, "CTE "):
		line = n.Subplan + ": " + line
	case n.Subplan != "": // with a number
		line = "subplan: " + line
	}
	text := line + "\n"
	for _, below := range n.Plans {
		text += "  " + strings.ReplaceAll(strings.TrimSuffix(below.text(), "\n"), "\n", "\n  ") + "\n"
	}
	return text
}

// requireIndexes requires that no row of the table is read but by the condition of
// an index.
func (n node) requireIndexes(t *testing.T) {
	t.Helper()
	if n.Relation != "" && n.Type != "ModifyTable" {
		require.Contains(t, []string{"Index Scan", "Index Only Scan"}, n.Type)
		require.NotEmpty(t, n.Cond, "it reads the whole of %s", n.Index)
		columns := map[string]string{"idemtx_replies_pkey": "by scope key\n", "idemtx_replies_expires_at_idx": "by expires_at\n"}
		require.Contains(t, columns, n.Index)
		require.Contains(t, n.text(), columns[n.Index])
	}
	for _, below := range n.Plans {
		below.requireIndexes(t)
	}
}
