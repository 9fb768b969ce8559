package idemtx

import (
	"context"
	"sync"
	"time"
)

// patience is how long a request waits in line that is not to wait. A pipeline tells
// nobody when its work begins, and most have ended by then.
const patience = 500 * time.Millisecond

// keyID is a key with its scope, as they are stored.
type keyID struct{ scope, key string }

// queue makes the callers of one key in this process take turns, so that
// duplicates of one request hold one connection and not one each: a thousand
// retries of a hot key would otherwise empty the pool for every other.
type queue struct {
	mu    sync.Mutex
	lines map[keyID]*line
}

// line is the callers of one key. It is there while it has any.
type line struct {
	callers int
	turn    chan struct{} // holds a token while it is nobody's turn

	// inFlight is closed when the one whose turn it is has found the key in
	// flight elsewhere, or runs its handler. The latter has a fingerprint.
	inFlight    chan struct{}
	fingerprint *Fingerprint

	// The questions put to the database are counted, so that an answer is
	// passed on only to those who were in line before its question was put:
	// they could not have got an older one themselves.
	asked    uint64
	answer   *row
	answered uint64 // the question that answer belongs to
}

// place is one caller's place in a line.
type place struct {
	queue *queue
	line  *line
	id    keyID
	since uint64 // questions put before it came
	asked uint64 // its own last question
}

// join gets in line. It must be followed by await.
func (q *queue) join(id keyID) *place {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.lines[id]
	if l == nil {
		l = &line{turn: make(chan struct{}, 1), inFlight: make(chan struct{})}
		l.turn <- struct{}{}
		if q.lines == nil {
			q.lines = make(map[keyID]*line)
		}
		q.lines[id] = l
	}
	l.callers++
	return &place{queue: q, line: l, id: id, since: l.asked}
}

// await waits for the caller's turn. It returns an answer when one has come up
// in the meantime. With an answer or an error the caller is no longer in line;
// without, it has to call leave.
func (p *place) await(ctx context.Context, c *call) (*row, error) {
	select {
	case <-p.line.turn:
		return p.passedOn(), nil
	default:
	}
	began := time.Now()
	defer func() { c.waited += time.Since(began) }()
	left := time.Until(c.deadline)
	var inFlight <-chan struct{}
	if c.refuse {
		inFlight, left = p.inFlight(), min(left, patience)
	}
	timeout := time.NewTimer(left)
	defer timeout.Stop()
	select {
	case <-p.line.turn:
		return p.passedOn(), nil
	case <-inFlight:
		return nil, p.refuse(c)
	case <-timeout.C:
		if isClosed(inFlight) { // both were ready, and select draws lots
			return nil, p.refuse(c)
		}
		p.quit()
		return nil, &InFlightError{RetryAfter: retryAfter}
	case <-ctx.Done():
		p.quit()
		return nil, ctx.Err()
	}
}

func (p *place) inFlight() <-chan struct{} {
	p.queue.mu.Lock()
	defer p.queue.mu.Unlock()
	return p.line.inFlight
}

// refuse is the answer while the key is in flight. Where that is in this process
// it is known for what.
func (p *place) refuse(c *call) error {
	p.queue.mu.Lock()
	differs := p.line.fingerprint != nil && *p.line.fingerprint != c.fingerprint
	p.queue.mu.Unlock()
	p.quit()
	if differs {
		return ErrMismatch
	}
	return &InFlightError{RetryAfter: retryAfter}
}

// passedOn is called when the turn has come. It returns the answer of another
// caller, if it will do, and passes the turn on.
func (p *place) passedOn() *row {
	p.queue.mu.Lock()
	var answer *row
	if p.line.answered > p.since {
		answer = p.line.answer
	}
	p.queue.mu.Unlock()
	if answer != nil {
		p.leave(nil)
	}
	return answer
}

// asks is called before a question is put to the database whose answer leave
// may be given.
func (p *place) asks() {
	p.queue.mu.Lock()
	defer p.queue.mu.Unlock()
	p.line.asked++
	p.asked = p.line.asked
}

// waits is called when the key is in flight elsewhere, and runs when the handler
// begins. Both may be called more than once in a turn. A caller of DoTx has no
// place.
func (p *place) waits() {
	if p == nil {
		return
	}
	p.queue.mu.Lock()
	defer p.queue.mu.Unlock()
	p.line.tell()
}

func (p *place) runs(f Fingerprint) {
	p.queue.mu.Lock()
	defer p.queue.mu.Unlock()
	p.line.fingerprint = &f
	p.line.tell()
}

func (l *line) tell() {
	if !isClosed(l.inFlight) {
		close(l.inFlight)
	}
}

// answers is called when what was in flight is answered and the turn goes on for
// a moment. Who comes in it waits for its end and is not refused.
func (p *place) answers() {
	p.queue.mu.Lock()
	defer p.queue.mu.Unlock()
	p.line.untell()
}

func (l *line) untell() {
	if isClosed(l.inFlight) {
		l.inFlight = make(chan struct{})
	}
}

// leave ends the turn. An answer, which may be nil, was live in the database
// after the last question was put.
func (p *place) leave(answer *row) {
	p.queue.mu.Lock()
	if answer != nil && answer.live() {
		p.line.answer, p.line.answered = answer, p.asked
	}
	p.line.fingerprint = nil
	p.line.untell()
	p.queue.mu.Unlock()
	p.line.turn <- struct{}{}
	p.quit()
}

func (p *place) quit() {
	p.queue.mu.Lock()
	defer p.queue.mu.Unlock()
	p.line.callers--
	if p.line.callers == 0 {
		delete(p.queue.lines, p.id)
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
