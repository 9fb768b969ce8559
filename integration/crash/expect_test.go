package crash

import "github.com/idemtx/idemtx/idemtx"

// death is what dies at a point.
type death int

const (
	process    death = iota // by SIGKILL
	backend                 // by pg_terminate_backend
	connection              // is cut
	serverBack              // stops, and is back, or another in its place, before the call gives up
	serverAway              // stops, and stays away until the caller has been told
)

// outcome is what a row of the matrix says.
type outcome struct {
	left  state
	told  told
	again told // what a retry gets: the reply, or a run of its own
	total int  // effects, in the end
}

const (
	rerun  told = "runs the handler"
	redone told = "does the work"
)

// meets tells whether a death can come to a point: of a call that is over no
// request can be lost any more.
func (p point) meets(d death) bool { return !p.over() || d != connection }

// lands tells whether the server does what the step's trip asks for. A server that
// is at it goes on when only its client is gone.
func (p point) lands(d death) bool {
	switch p.moment {
	case before:
		return false
	case looking, working, committing:
		return d == process || d == connection
	}
	return true
}

// expect is what has to come of a death at the point.
func (p point) expect(d death) outcome {
	w := p.of()
	last := w.steps[len(w.steps)-1].leaves
	o := outcome{left: p.left()}
	if p.lands(d) {
		o.left = p.leaves()
	}
	switch {
	case p.over() && w.ends.fails(): // of DoBatch alone
		o.told = statements
	case p.over():
		o.told = theReply
	case d == process:
		o.told = nobody
	case w.mode == idemtx.ModeDo:
		p.expectOfDo(d, last, &o)
	case w.mode == idemtx.ModeDoBatch:
		p.expectOfDoBatch(d, last, &o)
	case w.mode == idemtx.ModeDoTx:
		p.expectOfDoTx(&o)
	default:
		p.expectOfDoPool(d, last, &o)
	}
	if o.again, o.total = theReply, o.left.effects; o.left.kept != reply {
		o.again = w.rerun()
		if w.ends != refusing { // whose writes are undone again
			o.total++
		}
	}
	return o
}

// Do goes on as long as it can reach a server: nothing is done yet, and it begins
// anew, or it finds out what has become of its COMMIT.
func (p point) expectOfDo(d death, last state, o *outcome) {
	switch commits := p.left().kept != p.leaves().kept; {
	case p.of().ends == failing:
		o.told = itsOwnError
	case d != serverAway:
		o.left, o.told = last, theReply
	case commits || p.of().lost != nil:
		o.told = unknown
	default:
		o.told = theError
	}
}

// DoBatch is Do, but that a pipeline which is lost may still come: as long as the key
// is not answered, whatever goes wrong after that is not the last word.
func (p point) expectOfDoBatch(d death, last state, o *outcome) {
	adrift := p.step == 0 || p.of().lost != nil
	switch {
	case adrift && (d == serverAway || p.of().ends.fails()):
		o.told = unknown
	case p.of().ends == failing, p.of().ends == failingLast && d != serverAway:
		o.told = statements
	default:
		p.expectOfDo(d, last, o)
	}
}

// DoTx tells its caller, whose transaction is lost.
func (p point) expectOfDoTx(o *outcome) {
	o.told = theError
	if p.of().ends == failing {
		o.told = itsOwnError
	}
}

// DoPool gives its claim back unless the work is done, and then stores the reply,
// as long as it can reach a server.
func (p point) expectOfDoPool(d death, last state, o *outcome) {
	switch step := p.of().steps[p.step]; {
	case p.of().ends == failing: // the claim was to be given back, and that is not tried again
		o.told = itsOwnError
	case step.leaves == claimed:
		o.told = theError
		if d != serverAway {
			o.left = untouched
		}
	case step.name == handlersOwn:
		o.told = theError
		if d != serverAway {
			o.left.kept = none
		}
	case d != serverAway:
		o.left, o.told = last, theReply
	default:
		o.told = halfUnknown
	}
}
