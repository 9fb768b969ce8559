package idemtx

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPlaceholdersAreCountedWhereverTheyStand(t *testing.T) {
	t.Parallel()
	for sql, want := range map[string]int{
		"":                                0,
		"SELECT 1":                        0,
		"SELECT $1":                       1,
		"SELECT $2, $1, $12x":             12,
		"SELECT '$3', \"$4\" -- $5":       5,
		"SELECT $$7$$, $tag$8$tag$":       8,
		"SELECT $":                        0,
		"SELECT $65535":                   65535,
		"SELECT $99999999999999999999999": math.MaxInt,
	} {
		require.Equal(t, want, query{sql: sql}.wants(), sql)
	}
}
