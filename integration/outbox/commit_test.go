package outbox

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestKilledBeforeCommit kills the process whose order and job are written, but not
// committed. The reply is written in one trip with COMMIT: what is held there goes on
// when the process is dead, and so its backend has to die, too.
//
//	doomed: INSERT order, INSERT job ── held ── SIGKILL
//	next:                                          the whole order
func TestKilledBeforeCommit(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		gate string
		both bool
	}{
		"at its job":    {"inserted", false},
		"after its job": {"replying", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			doomed := s.start("doomed", "-work=false")
			s.shut(test.gate)
			unanswered := doomed.lost()
			s.held(doomed)
			doomed.killed()
			if test.both {
				s.terminate(doomed)
				s.gone(doomed)
			}
			s.open(test.gate)
			s.gone(doomed)
			require.True(t, receive(s, "the request fails", unanswered))
			require.Equal(t, counts{}, s.count())

			next := s.worker("next")
			next.placed(false)
			s.confirmed()
			next.placed(true)
		})
	}
}

// TestKilledInCommit kills the process that has sent COMMIT and has not heard of it:
// what is there then is all or nothing.
func TestKilledInCommit(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	doomed := s.start("doomed", "-work=false")
	s.shut("committing")
	unanswered := doomed.lost()
	s.held(doomed)
	doomed.killed()
	s.open("committing")
	s.gone(doomed)
	require.True(t, receive(s, "the request fails", unanswered))
	left := s.count()
	require.Contains(t, []counts{{}, {orders: 1, replies: 1, jobs: 1}}, left)

	s.worker("next").placed(left.orders == 1)
	s.confirmed()
}

// TestKilledBeforeAnswer kills the process whose COMMIT has landed. Nobody was told.
//
//	doomed: COMMIT ── landed, the answer is held ── SIGKILL
//	next:                                              the mail, and the reply again
func TestKilledBeforeAnswer(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	wire := newWire(t)
	doomed := s.startAt(wire.url, "doomed", "-work=false")
	s.shut("committing")
	unanswered := doomed.lost()
	s.held(doomed)
	wire.hold()
	s.open("committing")
	s.until("the order is committed", func() bool { return s.count().orders == 1 })
	doomed.killed()
	wire.release()
	require.True(t, receive(s, "the request fails", unanswered))
	require.Equal(t, counts{orders: 1, replies: 1, jobs: 1}, s.count())
	require.Equal(t, "available", s.job())

	next := s.worker("next")
	first := next.placed(true)
	s.confirmed()
	require.Equal(t, first, next.placed(true))
}
