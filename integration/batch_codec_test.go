package integration

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// An argument that pgx cannot send is a mistake, of which the server has not heard.
func TestBatchWithAnArgumentThatIsNone(t *testing.T) {
	t.Parallel()
	inEveryExecMode(t, func(t *testing.T, via option) {
		t.Helper()
		f := newFixture(t, via)
		for name, argument := range map[string]any{"no codec": make(chan int), "another type": struct{ secret int }{1}} {
			for _, first := range []bool{true, false} {
				work := &pgx.Batch{}
				if first {
					work.Queue("SELECT $1::bigint", argument)
				}
				work.Queue(f.making("k"))
				work.Queue("SELECT $1::bigint AS number", argument)
				_, err := f.batch(t.Context(), f.request("k"), work)
				require.Error(t, err, name)
				require.NotErrorIs(t, err, idemtx.ErrOutcomeUnknown, name)
				require.NotErrorIs(t, err, idemtx.ErrReplyNotStorable, name)
				require.Zero(t, f.effects("k")+f.rows("k"), name)
			}
		}
		f.requireForgotten("k")
	})
}
