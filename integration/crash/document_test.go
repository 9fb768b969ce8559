package crash

import "github.com/idemtx/idemtx/idemtx"

const documentHead = `# Crashes

What is left when something dies in the middle of a call, what the caller is told, and what a retry gets. At each of
%d points of Do, DoBatch, DoTx and DoPool something dies, and something comes next. These %d rows are tests, and
named after what they let die and where:

` + "```sh\ngo test ./integration/crash\n" +
	"go test ./integration/crash -run 'TestCrash/the_connection/same_process/Do$/reply_and_COMMIT'\n```" + `

**Where.** A step is a trip to the server and back; another test sees to it that a call takes these steps and no others.

- *before*: the server has not heard of it;
- *at it*: the server is held in the middle of a statement. Where it can also be held *at COMMIT*, *at it* is at the
  statement before. The pipeline of a DoBatch has many statements: *at the look* for the key, and *at it*, in the work;
- *answered*: the server has done it, and its answer is lost.

A server cannot be held at a statement that touches no table, such as ROLLBACK.

**What dies.**

- *process*: by SIGKILL, that of the caller. The server goes on with what it is at, and then finds its client gone;
- *backend*: by pg_terminate_backend;
- *connection*: it is cut. The server goes on with what it is at, as nothing reaches it that would cancel it, and only
  ends when the call has come back or waits for it;
- *server*: by an immediate stop, and by SIGKILL to all of its processes. Either it is *back in time*, as the caller
  still waits, or it stays *away* until the caller has given up and has been told.

**What comes next.** A retry in the same process, unless that is dead; a retry in another process; a retry after
failover to an asynchronous standby that had what was committed. A server that is back in time is the same one or, after
SIGKILL, the standby that has taken over; one that is away is the same one or, after an immediate stop, the standby.
The outcome is the same for each, and for both ways to stop a server, so the tables have one line for all.

**What is counted.** The handler, or the work of a DoBatch, writes one row, the effect. *kept* is what the store has
under the key before the retry comes. ` + "`ErrInFlight`" + ` is what a retry is told that comes while there is a claim whose
lease has not ended.

<!-- Written by: go test ./integration/crash -run TestTable -update -->
`

var about = map[idemtx.Mode]string{
	idemtx.ModeDo: "One transaction and one commit. In each row the reply is kept if and only if the effect exists, or the handler has\n" +
		"refused, which undoes its effect. As long as a server can be reached before it gives up, Do finishes by itself.",
	idemtx.ModeDoBatch: "Do in one trip, so what is at stake at COMMIT there is at stake in the whole of it here: as soon as the server has heard\n" +
		"of it, it goes on without its client. While the key is free, a pipeline that was lost may still come, and no lock says\n" +
		"so: DoBatch goes on as Do would, but when that fails, be it with an error of the work's own, the caller is told\n" +
		"`ErrOutcomeUnknown`. A pipeline that comes so late finds that the key has been used, or does the work, once; see\n" +
		"TestLatePipeline.",
	idemtx.ModeDoTx: "The same in the caller's transaction. DoTx cannot begin that anew, so the caller hears of it, and may retry. When the\n" +
		"caller's COMMIT fails, it is the caller who does not know; the retry finds out.",
	idemtx.ModeDoPool: "The handler commits by itself, so there is a gap between effect and reply. Where it opens, the retry runs the handler\n" +
		"once more, after the lease of the claim, and there are two effects: that is the price of this mode.",
}
