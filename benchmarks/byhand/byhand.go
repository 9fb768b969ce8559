// Package byhand is what people write who have no library: peers of the same
// work, as short as their designs allow.
package byhand

import (
	"github.com/idemtx/idemtx/benchmarks/contender"
)

// VersionOne is the flow of the system that idemtx comes from.
const VersionOne = "version 1"

// All returns the peers.
func All() []contender.Contender {
	return []contender.Contender{
		{
			Name: VersionOne, Kind: contender.Peer, Open: openVersionOne,
			About: "get, the handler's transaction, put on a fresh connection; not atomic, duplicates at once repeat the work; 2 commits",
		},
		{
			Name: "select, then insert", Kind: contender.Peer, Open: openSelectInsert,
			About: "SELECT, effect and INSERT of the reply in one transaction, again on 23505; atomic; 1 commit",
		},
		{
			Name: "claim first", Kind: contender.Peer, Open: openClaimFirst,
			About: "a claim committed first, completed in the handler's transaction; atomic, duplicates at once are refused, a crash blocks the key until its lease ends; 2 commits",
		},
	}
}
