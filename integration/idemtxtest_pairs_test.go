package integration

import (
	"context"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtxtest"
)

// TestCrashTellsWhatGoesWrongInAPair has a handler go wrong in one of the last
// three cases, which are the pairs. Keys end with their number.
func TestCrashTellsWhatGoesWrongInAPair(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withMaxAttempts(1))
	var last, wrong atomic.Int64
	wrong.Store(-1)
	handler := func(ctx context.Context, tx pgx.Tx) (order, error) {
		key := idemtxtest.Request(ctx).Key
		n, err := strconv.ParseInt(key[strings.LastIndexByte(key, '~')+1:], 10, 64)
		if err != nil {
			return order{}, err
		}
		if last.Store(n); n == wrong.Load() {
			if _, err := f.effect(ctx, tx, "k"); err != nil {
				return order{}, err
			}
		}
		return f.effect(ctx, tx, "k")
	}
	requirePasses(f, crash(f, handler))
	for i, place := range []string{
		"when two copies ran at once, and the answer to the first one's COMMIT was lost",
		"when two copies ran at once, and the first one's COMMIT never arrived",
		"when two copies ran at once",
	} {
		wrong.Store(last.Load() - int64(i))
		require.Equal(t, []string{
			"idemtxtest: the effects differ from one clean run's: " +
				f.sql("{schema}.effects: 2 rows inserted, where one clean run has 1\n\t") + place,
		}, crash(f, handler).failures)
		exec(t, "DELETE FROM "+f.table())
	}
}
