package integration

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// The work's placeholders are its own: one without an argument is a mistake, and
// must not be given one of idemtx's.
func TestBatchWithoutAnArgument(t *testing.T) {
	t.Parallel()
	for _, exec := range execModes {
		t.Run(exec.String(), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, withExecMode(exec))
			for n := range 7 {
				work := &pgx.Batch{}
				work.Queue("SELECT 1")
				args := make([]any, n)
				for i := range args {
					args[i] = "a"
				}
				sql := []string{
					"SELECT $1::text AS note", "SELECT $1::text || $2::text AS note", "SELECT $3::text AS note, $1::text, $2::text",
					"SELECT $4::text AS note, $1::text, $2::text, $3::text",
					"SELECT $5::text AS note, $1::text, $2::text, $3::text, $4::text",
					"SELECT $6::text AS note, $1::text, $2::text, $3::text, $4::text, $5::text",
					"SELECT $7::text AS note, $1::text, $2::text, $3::text, $4::text, $5::text, $6::text",
				}[n]
				work.Queue(sql, args...)
				reply, err := f.batch(t.Context(), f.request("k"), work)
				require.Error(t, err, "%s with %d arguments replies %+v", sql, n, reply)
				require.Zero(t, f.rows("k"))
				work.QueuedQueries[1].Arguments = append(args, "b", "c")
				_, err = f.batch(t.Context(), f.request("k"), work)
				require.Error(t, err, "%s with %d arguments", sql, n+2)
				require.Zero(t, f.rows("k"))
			}
			f.requireForgotten("k")
		})
	}
}
