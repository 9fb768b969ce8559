package outbox

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestManyAtOnce sends an order to two processes, both of which send mails.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	workers := []*process{
		s.launch(server.URL, "one", "-mail", s.desk.url),
		s.launch(server.URL, "two", "-mail", s.desk.url),
	}
	for _, p := range workers {
		p.listening()
	}
	const times = 60
	type sent struct {
		answer
		err error
	}
	answers := make(chan sent, times)
	for i := range times {
		go func() {
			a, err := workers[i%2].post("lamp")
			answers <- sent{a, err}
		}()
	}
	bodies, replayed := make(map[string]int), 0
	for range times {
		a := receive(s, "there is an answer", answers)
		require.NoError(t, a.err)
		require.Equal(t, http.StatusCreated, a.status, a.body)
		bodies[a.body]++
		if a.replayed {
			replayed++
		}
	}
	require.Len(t, bodies, 1)
	require.Equal(t, times-1, replayed)
	s.confirmed()
}

// TestReplicasBeginAtOnce has several processes find no tables.
func TestReplicasBeginAtOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for _, name := range []string{"one", "two", "three", "four"} {
		s.launch(server.URL, name)
	}
	for i, p := range s.processes {
		p.listening()
		p.placed(i > 0)
	}
	s.until("the job is completed", func() bool { return s.job() == "completed" })
	require.Equal(t, counts{orders: 1, replies: 1, jobs: 1, mails: 1}, s.count())
}

// TestNoOrderNoJob: what is not placed is not confirmed, whether the reply is kept or
// forgotten.
func TestNoOrderNoJob(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	p := s.worker("worker")
	require.Equal(t, http.StatusNotFound, p.order("nonesuch").status)
	require.Equal(t, counts{}, s.count())
	require.Equal(t, http.StatusConflict, p.order("unicorn").status)
	require.Equal(t, counts{replies: 1}, s.count())
	again := p.order("unicorn")
	require.Equal(t, http.StatusConflict, again.status)
	require.True(t, again.replayed)
	require.Equal(t, counts{replies: 1}, s.count())
}

// TestUndoneOrderHasNoJob fails the order when its job is written, or has been.
func TestUndoneOrderHasNoJob(t *testing.T) {
	t.Parallel()
	const (
		now      = "TRIGGER fails AFTER INSERT ON {table} FOR EACH ROW"
		atCommit = "CONSTRAINT TRIGGER fails AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
	)
	for name, test := range map[string]struct{ trigger, table string }{
		"by its job":             {now, "river_job"},
		"by its job, at COMMIT":  {atCommit, "river_job"},
		"by its reply":           {now, "idemtx_replies"},
		"by the order at COMMIT": {atCommit, "orders"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			p := s.worker("worker")
			mended := s.failing(test.trigger, test.table)
			require.Equal(t, http.StatusInternalServerError, p.order("lamp").status)
			require.Equal(t, counts{}, s.count())

			mended()
			p.placed(false)
			s.confirmed()
		})
	}
}

// TestTheJobHoldsNoMore than what its doc comment says.
func TestTheJobHoldsNoMore(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.office.placed(false)
	require.JSONEq(t, `{"order":1,"key":"`+s.downstreamKey()+`"}`, ask[string](s, "SELECT args::text FROM {schema}.river_job"))
	require.Zero(t, ask[int](s, "SELECT count(*) FROM {schema}.river_job AS job WHERE strpos(job::text, $1) > 0", key))
}
