package integration

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
)

// tracedBy is the fixture in a process that tells how its calls end.
func tracedBy(f *fixture, options ...option) (*fixture, ended) {
	ends := make(ended, 9)
	return f.peer(append(options, withConfig(func(c *idemtx.Config) { c.Tracer = ends }))...), ends
}

// A work that PostgreSQL has undone is run again, wherever it was, until it succeeds
// or MaxAttempts are used up; then the caller hears of what has happened, and nothing
// is left.
func TestBatchUndoneAnywhereIsRunAgain(t *testing.T) {
	t.Parallel()
	for place := range undoes {
		for _, level := range isolations {
			for _, mode := range execModes {
				t.Run(place+" "+string(level)+" "+mode.String(), func(t *testing.T) {
					t.Parallel()
					f := newFixture(t)
					traced, ends := tracedBy(f, withIsolation(level), withExecMode(mode))
					f.undone(place, "40001", "40P01", "40001", "40P01")
					_, err := traced.batch(t.Context(), f.request("k"), f.ordering("k"))
					require.Equal(t, "40001", state(err), err)
					require.NotErrorIs(t, err, idemtx.ErrOutcomeUnknown)
					require.Equal(t, 3, (<-ends).Attempts)
					require.Equal(t, 3, f.runs())
					require.Zero(t, f.effects("k")+f.rows("k"))

					reply, err := traced.batch(t.Context(), f.request("k"), f.ordering("k"))
					require.NoError(t, err)
					require.Equal(t, 2, (<-ends).Attempts)
					require.Equal(t, 3+2, f.runs())
					require.False(t, reply.Replayed)
					requireOnce(f, "k", reply)
				})
			}
		}
	}
}

func TestBatchMaxAttempts(t *testing.T) {
	t.Parallel()
	for place := range undoes {
		for _, attempts := range []int{1, 2} {
			f := newFixture(t)
			traced, ends := tracedBy(f, withMaxAttempts(attempts))
			f.undone(place, "40P01", "40001", "40P01")
			_, err := traced.batch(t.Context(), f.request("k"), f.ordering("k"))
			require.Equal(t, map[int]string{1: "40P01", 2: "40001"}[attempts], state(err), err)
			end := <-ends
			require.Equal(t, attempts, end.Attempts)
			require.Equal(t, idemtx.OutcomeFailed, end.Outcome)
			require.Equal(t, attempts, f.runs())
			f.idle()
		}
	}
}

// What COMMIT fails of is the work's, and not of its reply: a deferred constraint is
// no key that was taken, and no reply that cannot be stored.
func TestBatchRefusedAtCommitIsNotAboutTheReply(t *testing.T) {
	t.Parallel()
	for _, mode := range execModes {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, withExecMode(mode))
			codes := []string{"23505", "23502", "23514", "21000", "55P03", "22012", "54000", "3B001", "57014", "P0001"}
			f.undone("COMMIT", codes...)
			for i, code := range codes {
				_, err := f.batch(t.Context(), f.request("k"), f.ordering("k"))
				requireOfTheWork(t, err, code, "")
				require.ErrorContains(t, err, "idemtx: commit", code)
				require.Equal(t, i+1, f.runs(), code)
			}
			f.requireForgotten("k")
		})
	}
}

// Two of the same name in one transaction, of which only COMMIT complains.
func TestBatchWithADeferredConstraint(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	exec(t, "ALTER TABLE "+f.schema+".effects ADD CONSTRAINT once UNIQUE (key) DEFERRABLE INITIALLY DEFERRED")
	_, err := f.batch(t.Context(), f.request("k"), f.ordering("k", f.making("k")))
	requireOfTheWork(t, err, "23505", "once")
	require.Equal(t, 2, f.runs())
	f.requireForgotten("k")
}
