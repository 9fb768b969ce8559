package crash

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/internal/pgwire"
)

// next is what comes after a death.
type next string

const (
	same     next = "same process"
	another  next = "another process"
	failover next = "after failover"
)

// trial is one row of the matrix: something dies at a point, and a retry comes.
type trial struct {
	point point
	index int // in points()
	death death
	next  next

	host   *host
	outage outage
	schema string
	key    string
	life   *testing.T // at whose end the caller's process ends
	watch  func(*pgwire.Trip)
	post   *post // or nil

	caller  caller
	own     *own         // the caller, or nil
	child   *child       // the caller, or nil
	backend uint32       // 0 when the call is over
	open    func() error // the gate that the server is held at, or nil
	got     answer
}

// trials are the rows of a variant: one for each point.
func (v variant) trials() []*trial {
	var all []*trial
	for i, p := range points() {
		if p.meets(v.death) {
			all = append(all, &trial{point: p, index: i, death: v.death, next: v.next})
		}
	}
	return all
}

// run is all but what comes next, where the trial is alone with its death.
func (x *trial) run(t *testing.T) {
	t.Helper()
	x.begin(t)
	x.arrive(t)
	x.die(t)
	x.goOn(t)
	x.end(t)
}

// begin has the call begin.
func (x *trial) begin(t *testing.T) {
	t.Helper()
	x.schema, x.key = x.host.schema, rand.Text()
	w := x.point.of()
	if !x.point.over() && x.point.gate() == reading {
		x.schema = x.host.furnish(t)
	}
	switch w.start {
	case done:
		x.call(t, "before", w.ends)
	case expired:
		x.expire(t)
	}
	if w.lease && x.gated() {
		x.shut(t) // now: a renewal does not wait for that
	}
	if x.death == process {
		x.child = x.bear(t)
		x.caller = x.child
	} else {
		x.own = x.ask(t)
		x.caller = x.own
	}
	if x.open != nil {
		x.caller.goOn(x.fate())
	}
}

// arrive waits until the call has come to its point, where it is held.
func (x *trial) arrive(t *testing.T) {
	t.Helper()
	if x.own != nil {
		close(x.own.near)
	}
	if x.point.over() {
		x.hear(t)
		return
	}
	select {
	case x.backend = <-x.caller.arrived():
	case a := <-x.caller.told():
		require.FailNow(t, "the call does not come to its point", "%s: %+v", x.name(), a)
	case <-time.After(patience):
		require.FailNow(t, "the call does not come to its point", x.name())
	}
	if x.gated() {
		if x.open == nil {
			x.shut(t)
			x.caller.goOn(x.fate())
		}
		x.backend = x.held(t)
		if x.haste() == hurried && x.death >= serverBack {
			x.outage.begin() // its seconds do not run out before the others are where they belong
		}
	}
}

// gated tells that the server is to be held at the point.
func (x *trial) gated() bool {
	return x.point.moment == looking || x.point.moment == working || x.point.moment == committing
}

// haste is how well a call can wait at its point for others to come to theirs.
type haste int

const (
	patient haste = iota
	greedy        // each of its renewals that comes to a gate takes a connection, for good
	hurried       // DoPool has some seconds to save a reply, and to give back a claim
)

func (x *trial) haste() haste {
	switch w := x.point.of(); {
	case w.lease && x.gated():
		return greedy
	case w.mode != idemtx.ModeDoPool || !x.gated():
		return patient
	case x.point.leaves() == done, x.point.leaves() == released:
		return hurried
	}
	return patient
}

// fate is what the trip meets at the point. A server's last words, if it has any,
// are lost with it: whether they arrive would be chance.
func (x *trial) fate() pgwire.Fate {
	if x.point.moment == before && x.death != backend {
		return pgwire.Drop
	}
	return pgwire.Deliver
}

// die lets something die that is this trial's alone.
func (x *trial) die(t *testing.T) {
	t.Helper()
	switch {
	case x.death == process:
		x.child.kill(t)
	case x.death == backend && x.point.over():
		x.terminateAll(t)
	case x.death == connection && x.gated():
		x.outage.cut()
	case x.death == backend:
		x.host.terminate(t, x.backend)
	}
}

// goOn lets the call go on, and the server.
func (x *trial) goOn(t *testing.T) {
	t.Helper()
	switch x.point.moment {
	case before, answered:
		x.caller.goOn(x.fate())
	case looking, working, committing:
		if x.death == connection {
			x.overtake(t)
		}
		_ = x.open() // fails when the server is dead, and the gate with it
	}
	if x.own != nil {
		close(x.own.past)
	}
}

// overtake waits until the call has ended, or waits itself for what the server is
// at: whatever it does next, it does before the old trip is over.
func (x *trial) overtake(t *testing.T) {
	t.Helper()
	began := time.Now()
	for pause := shortest; ask[int](t, x.host, "SELECT count(*) "+waiting, x.key) < 2; pause = longer(pause) {
		select {
		case x.got = <-x.caller.told():
			return
		case <-time.After(pause):
			require.Less(t, time.Since(began), patience, "the call neither ends nor waits")
		}
	}
}

// end waits until the caller has been told, or is dead, and nothing is going on
// any more.
func (x *trial) end(t *testing.T) {
	t.Helper()
	switch {
	case x.got.Told != "": // already
	case x.death == process:
		x.got.Told = nobody
	default:
		x.hear(t)
	}
	if x.death <= connection {
		x.quiet(t)
	}
}

func (x *trial) hear(t *testing.T) {
	t.Helper()
	select {
	case x.got = <-x.caller.told():
	case <-time.After(patience):
		require.FailNow(t, "the call does not end", x.name())
	}
}

// require compares what has come of it with what has to.
func (x *trial) require(t *testing.T) {
	t.Helper()
	w := x.point.of()
	got := outcome{left: x.state(t), told: x.got.Told}
	if got.left.kept == claim {
		x.requireInFlight(t)
	}
	ends := w.ends
	if ends.fails() {
		ends = replying // a retry is worth it
	}
	again := x.call(t, "again", ends)
	if got.again = again.Told; !again.Replayed && again.Told == theReply {
		got.again = w.rerun()
	}
	after := x.state(t)
	got.total = after.effects
	require.Equal(t, x.point.expect(x.death), got, "the call: %+v\nthe retry: %+v", x.got, again)
	require.Equal(t, reply, after.kept)
	x.requireReply(t, again, again.Replayed)
	if x.got.Told == theReply {
		x.requireReply(t, x.got, w.start == done)
		require.Equal(t, x.got.Value, again.Value)
	}
}

// requireReply requires that an answer is the reply to work that is done.
func (x *trial) requireReply(t *testing.T, a answer, replayed bool) {
	t.Helper()
	refused := x.point.of().ends == refusing
	require.Equal(t, replayed, a.Replayed)
	require.Equal(t, refused, a.Refused)
	require.Equal(t, !refused, x.did(t, a.Value))
}

// requireInFlight has the lease of a dead claim be respected, and ends it.
func (x *trial) requireInFlight(t *testing.T) {
	t.Helper()
	x.lease(t, "1 hour")
	a := x.retrier(t).call(t.Context(), x.point.of().mode, idemtx.Refuse, handler{label: "too early"})
	require.Equal(t, inFlight, a.Told, a)
	x.lease(t, "-1 second")
}

// call is a call of the process that goes on living.
func (x *trial) call(t *testing.T, label string, ends ending) answer {
	t.Helper()
	return x.retrier(t).call(t.Context(), x.point.of().mode, 0, handler{label: label, ends: ends})
}

// retrier is the process that sends the request again.
func (x *trial) retrier(t *testing.T) *client {
	t.Helper()
	if x.own != nil && x.next != another {
		return x.own.client
	}
	c, err := newClient(x.host.another, x.schema, x.key, x.point.of())
	require.NoError(t, err)
	return c
}

func (x *trial) name() string { return x.point.of().title() + "/" + x.point.name() }
