// Package libraries has other Go libraries that answer a repeated request with
// the first reply and keep it in PostgreSQL.
//
// Each is used as its documentation says, with what is fastest where that
// leaves a choice, and logs nothing. None compares payloads: another request
// under a known key is answered with the first one's reply.
//
// The commits and statements that a library's line names were counted over 100
// requests in turn: statements in pg_stat_statements with BEGIN and COMMIT among
// them, commits in the write-ahead log. What a library does in the background
// is not in them.
package libraries

import "github.com/idemtx/idemtx/benchmarks/contender"

// All returns every library, the most alike first.
func All() []contender.Contender {
	return []contender.Contender{fiber(), dbosTransact(), riverQueue()}
}
