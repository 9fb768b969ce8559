package crash

import (
	"sync"
	"testing"

	"github.com/idemtx/idemtx/internal/pgnode"
)

// variant is one of the things that can happen at a point.
type variant struct {
	death death
	how   string // for a server
	next  next
}

// matrix is all of them, but for what cannot be: a process that is dead does
// nothing next.
var matrix = []variant{
	{process, "", another},
	{process, "", failover},
	{backend, "", same},
	{backend, "", another},
	{backend, "", failover},
	{connection, "", same},
	{connection, "", another},
	{connection, "", failover},
	{serverBack, bySIGKILL, same},
	{serverBack, bySIGKILL, another},
	{serverBack, bySIGKILL, failover},
	{serverBack, immediately, same},
	{serverBack, immediately, another},
	{serverAway, bySIGKILL, same},
	{serverAway, bySIGKILL, another},
	{serverAway, immediately, same},
	{serverAway, immediately, another},
	{serverAway, immediately, failover},
}

// How a server ends.
const (
	bySIGKILL   = "SIGKILL"
	immediately = "immediate stop"
)

var stops = map[string]func(*pgnode.Node){
	bySIGKILL:   (*pgnode.Node).Kill,
	immediately: (*pgnode.Node).StopImmediate,
}

var whatDies = map[death]string{
	process: "the process", backend: "the backend", connection: "the connection",
	serverBack: "the server, back in time", serverAway: "the server, away",
}

// TestCrash is the rows in which no server dies. Each has a subtest.
func TestCrash(t *testing.T) {
	t.Parallel()
	for _, v := range matrix {
		if v.how != "" || v.next == failover {
			continue
		}
		t.Run(whatDies[v.death]+"/"+string(v.next), func(t *testing.T) {
			t.Parallel()
			h := newHost(t, server.URL)
			for _, x := range v.trials() {
				t.Run(x.name(), func(t *testing.T) {
					t.Parallel()
					x.host, x.life = h, t
					x.run(t)
					x.require(t)
				})
			}
		})
	}
}

// TestServerCrash has the calls of many rows at their points when their server
// dies. Each row has a subtest.
func TestServerCrash(t *testing.T) {
	t.Parallel()
	for how, stop := range stops {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			node := pgnode.New(t, settings...)
			h := newHost(t, node.URL())
			for _, v := range matrix {
				if v.how != how || v.next == failover {
					continue
				}
				t.Run(whatDies[v.death]+"/"+string(v.next), func(t *testing.T) {
					h.wave(t, v.trials(), func() { stop(node) }, node.Start)
				})
			}
		})
	}
}

// TestFailover has a standby take over before the retries come.
func TestFailover(t *testing.T) {
	t.Parallel()
	var others []*trial
	for _, v := range matrix {
		switch {
		case v.next != failover:
		case v.how == "":
			others = append(others, v.trials()...)
		default:
			t.Run(whatDies[v.death]+"/"+v.how, func(t *testing.T) {
				t.Parallel()
				p := newPair(t)
				p.host.wave(t, v.trials(), func() {
					p.caughtUp()
					stops[v.how](p.primary)
				}, p.standby.Promote)
			})
		}
	}
	t.Run("later", func(t *testing.T) {
		t.Parallel()
		p := newPair(t)
		for _, x := range others {
			x.host, x.life = p.host, t
		}
		t.Run("calls", func(t *testing.T) {
			for _, x := range others {
				t.Run(whatDies[x.death]+"/"+x.name(), func(t *testing.T) {
					t.Parallel()
					x.run(t)
				})
			}
		})
		p.caughtUp()
		p.primary.Kill()
		p.standby.Promote()
		requireAll(t, others)
	})
}

// settings are for many calls at once.
var settings = []string{"max_connections=400", "shared_buffers=32MB"}

// wave is calls that are at their points when their server dies. Each has a server
// again only when its turn comes: what a call waits for with a bound is not to
// wait for the others.
func (h *host) wave(t *testing.T, rows []*trial, stop, cure func()) {
	t.Helper()
	byHaste := make(map[haste][]*trial)
	for _, x := range rows {
		x.host, x.life = h, t
		byHaste[x.haste()] = append(byHaste[x.haste()], x)
	}
	for _, haste := range []haste{patient, greedy, hurried} {
		for _, x := range byHaste[haste] {
			x.begin(t)
		}
		var arriving sync.WaitGroup
		for _, x := range byHaste[haste] {
			arriving.Go(func() { x.arrive(t) })
		}
		arriving.Wait()
		if t.Failed() {
			t.FailNow()
		}
	}
	for _, x := range rows {
		x.outage.begin()
	}
	stop()
	away := rows[0].death == serverAway
	if !away {
		cure()
	}
	for _, x := range rows {
		x.outage.end()
		x.goOn(t)
		if !away {
			x.end(t)
		}
	}
	if away {
		for _, x := range rows {
			x.end(t)
		}
		cure()
	}
	requireAll(t, rows)
}

// requireAll has one subtest for each row.
func requireAll(t *testing.T, rows []*trial) {
	t.Helper()
	for _, x := range rows {
		t.Run(whatDies[x.death]+"/"+x.name(), func(t *testing.T) {
			t.Parallel()
			x.require(t)
		})
	}
}
