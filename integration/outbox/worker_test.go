package outbox

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// rescued waits until another worker has done the job of a dead one.
func (s *scene) rescued(dead *process) {
	s.Helper()
	s.gone(dead)
	require.Equal(s, "running", s.job(), "a dead worker can say nothing")
	s.aged()
	s.worker("next").placed(true)
	s.confirmed()
	require.Equal(s, 2, ask[int](s, "SELECT attempt FROM {schema}.river_job"))
}

// TestWorkerKilledBeforeItsCall kills a worker that has a job and still reads the order.
func TestWorkerKilledBeforeItsCall(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.office.placed(false)
	lock, err := s.conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = lock.Exec(t.Context(), "LOCK TABLE "+s.schema+".orders IN ACCESS EXCLUSIVE MODE")
	require.NoError(t, err)
	doomed := s.worker("doomed")
	s.held(doomed)
	require.Equal(t, "running", s.job())
	doomed.killed()
	require.NoError(t, lock.Rollback(t.Context()))
	s.rescued(doomed)
	require.Len(t, s.desk.seen(), 1)
}

// TestWorkerKilledInItsCall kills a worker whose call the provider never hears of.
func TestWorkerKilledInItsCall(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.office.placed(false)
	call := s.desk.holdBefore()
	doomed := s.worker("doomed")
	receive(s, "the provider is called", call.arrived)
	doomed.killed()
	s.rescued(doomed)
	require.Len(t, s.desk.seen(), 2)
}

// TestWorkerKilledAfterItsCall kills a worker when the mail is sent. It is sent again,
// and the provider sends it once.
//
//	doomed: the call ── mail 1 is sent, the answer is held ── SIGKILL
//	next:                                                        the same call: mail 1
func TestWorkerKilledAfterItsCall(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.office.placed(false)
	call := s.desk.holdAfter()
	doomed := s.worker("doomed")
	receive(s, "the provider has answered", call.arrived)
	require.Equal(t, 1, s.count().mails)
	doomed.killed()
	s.rescued(doomed)
	require.Len(t, s.desk.seen(), 2)
}

// TestWorkerKilledBeforeItsJobIsDone kills a worker that has been told that the mail is
// sent, and is about to say that its job is done.
func TestWorkerKilledBeforeItsJobIsDone(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.office.placed(false)
	s.shut("completing")
	doomed := s.worker("doomed")
	s.held(doomed)
	require.Equal(t, 1, s.count().mails)
	doomed.killed()
	s.terminate(doomed)
	s.gone(doomed)
	s.open("completing")
	s.rescued(doomed)
	require.Len(t, s.desk.seen(), 2)
}

// TestSlowWorkerIsOvertaken takes a job from a worker that is alive. Its call comes
// when the other one's has been answered.
func TestSlowWorkerIsOvertaken(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.office.placed(false)
	call := s.desk.holdBefore()
	s.worker("slow")
	receive(s, "the provider is called", call.arrived)
	s.aged()
	s.worker("next")
	s.confirmed()
	close(call.goOn)
	s.until("both calls are answered", func() bool { return len(s.desk.answered()) == len(s.desk.seen()) })
	for _, status := range s.desk.answered() {
		require.Equal(t, http.StatusCreated, status)
	}
	s.confirmed()
}
