package integration

import (
	"maps"
	"testing"

	"github.com/stretchr/testify/require"
)

// needTheLock are the promises of the contract that no primary key can keep: that a
// request in flight is waited for, or refused, before the work begins. What is done
// once is done once without it.
var needTheLock = []string{"RunsOnceUnderRace", "WaiterOwnsWhatFailed", "WaitsNoLongerThanMaxWait", "RefusesWhileInFlight"}

// TestContractWithoutTheLock is the contract as an engine keeps it that has the
// functions of advisory locks, or stands in for them, and no locks.
func TestContractWithoutTheLock(t *testing.T) {
	t.Parallel()
	rest := maps.Clone(contract)
	for _, name := range needTheLock {
		require.Contains(t, rest, name)
		delete(rest, name)
	}
	for _, m := range modes {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			for name, promise := range rest {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					promise(t, m, lockless(&fixture{t: t}))
				})
			}
		})
	}
}

// TestRaceWithoutTheLock: handlers may run side by side, but one is committed and its
// reply is everybody's. In DoPool the claim is a row, and one handler runs.
func TestRaceWithoutTheLock(t *testing.T) {
	t.Parallel()
	for _, m := range modes {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			none := []option{lockless(f), withMaxAttempts(100)}
			runs := race(t, m, 12, f.peer(none...), f.peer(none...), f.peer(none...))
			if !m.atomic { // nothing undoes what a second one has done
				require.EqualValues(t, 1, runs)
			}
			require.Equal(t, 1, f.effects("k"))
			require.Equal(t, 1, f.rows("k"))
			f.idle()
		})
	}
}
