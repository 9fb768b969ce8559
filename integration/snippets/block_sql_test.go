package snippets

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// ofCitus is a function of an engine that is not here.
const ofCitus = "create_distributed_table("

// The SQL blocks of a page run one after the other in a database that has the
// store's table and nothing else.
func TestSQLBlocksRun(t *testing.T) {
	t.Parallel()
	for _, page := range pages(t) {
		blocks := blocksIn(t, page, "sql")
		if len(blocks) == 0 {
			continue
		}
		t.Run(page, func(t *testing.T) {
			t.Parallel()
			store := newStore(t, idemtx.Config{})
			conn, err := store.Pool().Acquire(t.Context())
			require.NoError(t, err)
			defer conn.Release()
			for _, b := range blocks {
				text := whole(t, store, b.text)
				_, err := conn.Conn().PgConn().Exec(t.Context(), text).ReadAll()
				if strings.Contains(b.text, ofCitus) {
					var undefined *pgconn.PgError
					require.True(t, errors.As(err, &undefined) && undefined.Code == "42883", "%s:%d: %v", b.page, b.line, err)
					continue
				}
				require.NoError(t, err, "%s:%d\n%s", b.page, b.line, text)
			}
		})
	}
}

// columnsHere is where a block leaves out what SchemaSQL has between the brackets of
// its CREATE TABLE.
const columnsHere = "-- as SchemaSQL has it"

// whole fills in what a block leaves out, such as the database's name. The table that
// it makes anew makes room.
func whole(t *testing.T, store *idemtx.Store, text string) string {
	t.Helper()
	text = strings.ReplaceAll(text, "DATABASE shop ", "DATABASE "+store.Pool().Config().ConnConfig.Database+" ")
	if !strings.Contains(text, columnsHere) {
		return text
	}
	_, columns, found := strings.Cut(store.SchemaSQL(), "(\n")
	require.True(t, found)
	columns, _, found = strings.Cut(columns, "\n);")
	require.True(t, found)
	return "DROP TABLE idemtx_replies;\n" + strings.Replace(text, columnsHere, columns, 1)
}
