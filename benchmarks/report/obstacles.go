package report

import (
	"fmt"
	"io"
)

// What stands in the way of a target, for when it is missed.
const (
	secondRow = `On loopback a round trip costs next to nothing. Where a sync is cheap, too, throughput is the work of
client and server, who share the cores: Do has the server take two locks, look for the key and write a second row with
two index entries and seven CHECKs, and the client make a fingerprint, encode a reply and see that it decodes. Without
the row there is no promise. Whatever makes the transaction wait hides this, as 1 ms of network does.`

	sameWork = `The same work in one round trip instead of three, which weighs little on loopback. The one-statement CTE, the
two INSERTs without a lock, is about what is left when all else costs nothing.`

	sameCores = `With one round trip a call, eight clients are more than two cores carry, which client, server and proxy share.
The one-statement CTE, which takes one round trip as well and does less, does not come to this either.`

	twoAtWork = `The sweeper deletes on the same two cores.`

	coldPages = `Random keys touch every page of the primary key, and each backend pays for the first time it does: a page
fault, which is dear on a virtual machine. Huge pages do away with most of it: see docs/scaling.md.`

	nearPeers = `What a peer does more than Do is round trips and commits, which are cheap on loopback. What it does less is
work: a lock, a fingerprint, a check before COMMIT that the reply can be replayed.`

	wholeRow = `The bare SELECT reads one column, and that is all that happens. A replay reads the row and how long it is alive, and
makes a fingerprint of the request to compare, and a value of the reply: about as much work in the client again.`

	noQuestion = `What is left is the fingerprint (canonical JSON, SHA-256) and the decoding of the reply. Finding that in the
cache is the least of it.`
)

// markObstacles says once each what stands in the way of the targets that were missed.
func markObstacles(w io.Writer, targets []Target) {
	told := map[string]bool{"": true}
	for _, t := range targets {
		if t.Verdict != Missed || told[t.Obstacle] {
			continue
		}
		told[t.Obstacle] = true
		fmt.Fprintf(w, "\n**%s:** %s\n", t.What, t.Obstacle)
	}
}
