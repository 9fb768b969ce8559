// Package idemadmin is what an operator asks of the table of an [idemtx.Store]:
// what has become of a key, how full the table is, and whether all is well with
// the server that it is on.
//
// Nothing here is for serving: [Count], [InFlight] and [Search] read the whole
// table, and only [Forget] changes a row. What is returned holds no reply, no
// scope but its LogID, and of a key at most its first 8 characters.
//
// Times are the server's, and so is the verdict on what is live. The lock on a
// key is seen on the server that holds it: a standby shows none of its primary's.
package idemadmin
