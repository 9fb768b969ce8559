package integration

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// A call whose work was run, or was not, says so.
func TestBatchAttempts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	decline := declining(f)
	traced, ends := tracedBy(f)
	for _, c := range []struct {
		key      string
		work     *pgx.Batch
		attempts int
		outcome  idemtx.Outcome
	}{
		{"k", f.ordering("k"), 1, idemtx.OutcomeFirst},
		{"k", f.ordering("k"), 0, idemtx.OutcomeReplayed},
		{"declined", f.ordering("declined", decline("ID001")), 1, idemtx.OutcomeFailed},
		{"raised", f.ordering("raised", decline("P0001")), 1, idemtx.OutcomeFailed},
		{"last", batchOf(decline("ID001")), 1, idemtx.OutcomeFailed},
		{"none", batchOf(returning + " WHERE false"), 1, idemtx.OutcomeFailed},
		{"misuse", batchOf("COMMIT", returning), 1, idemtx.OutcomeFailed},
		{"empty", &pgx.Batch{}, 0, idemtx.OutcomeFailed},
	} {
		_, _ = traced.batch(t.Context(), f.request(c.key), c.work)
		end := <-ends
		require.Equal(t, c.attempts, end.Attempts, c.key)
		require.Equal(t, c.outcome, end.Outcome, c.key)
	}
	exec(t, "ALTER TABLE "+f.schema+".effects ADD CONSTRAINT once UNIQUE (key) DEFERRABLE INITIALLY DEFERRED")
	_, err := traced.batch(t.Context(), f.request("commit"), f.ordering("commit", f.making("commit")))
	require.Equal(t, "23505", state(err))
	require.Equal(t, 1, (<-ends).Attempts)
	other, ends := tracedBy(f)
	_, err = other.batch(t.Context(), f.request("k"), f.ordering("k"))
	require.NoError(t, err)
	require.Zero(t, (<-ends).Attempts)
}
