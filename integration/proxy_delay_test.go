package integration

import (
	"sync/atomic"
	"testing"
)

// delayed is a trip, or its answer, on its way: neither lost nor there.
type delayed struct {
	met    chan struct{} // closed when there is one
	fate   chan fate
	answer chan struct{}
	once   atomic.Bool
}

func (d *delayed) meets(t *trip, match func(*trip) bool) bool {
	if !match(t) || !d.once.CompareAndSwap(false, true) {
		return false
	}
	close(d.met)
	return true
}

// delay holds the first trip that matches back. Until it is released, the network
// is a black hole to both ends: neither hears of the other, nor of its end.
func delay(t *testing.T, match func(*trip) bool) (judge func(*trip) fate, d *delayed) {
	t.Helper()
	d = &delayed{met: make(chan struct{}), fate: make(chan fate, 1)}
	return func(trip *trip) fate {
		if !d.meets(trip, match) {
			return deliver
		}
		select {
		case f := <-d.fate:
			return f
		case <-t.Context().Done():
			return drop
		}
	}, d
}

// release lets the trip meet its fate.
func (d *delayed) release(f fate) { d.fate <- f }

// delayAnswer holds back the answer to the first trip that matches, until it is
// passed on.
func delayAnswer(match func(*trip) bool) (judge func(*trip) fate, d *delayed) {
	d = &delayed{met: make(chan struct{}), answer: make(chan struct{})}
	return func(trip *trip) fate {
		if d.meets(trip, match) {
			trip.answer = d.answer
		}
		return deliver
	}, d
}

// passOn lets the client hear the answer.
func (d *delayed) passOn() { close(d.answer) }
