package idemui

import (
	"fmt"
	"time"

	"github.com/idemtx/idemtx/idemadmin"
	"github.com/idemtx/idemtx/idemtx"
)

// live tells that there is a reply that is replayed.
func live(st idemadmin.Status) bool {
	return st.State == idemadmin.StateAnswered || st.State == idemadmin.StateRefused
}

// abandoned tells that a claim's lease has ended, and nobody has taken it over.
func abandoned(st idemadmin.Status) bool {
	return st.State == idemadmin.StateExpired && !st.LeaseUntil.IsZero()
}

const (
	otherRequest = "Another payload or operation under this key is refused with ErrMismatch."
	runs         = "The handler runs, as if the key had never been used."
)

// retry says, in sentences, what a call with the key would get now from a store with
// this configuration. The first one is of the same request.
func retry(st idemadmin.Status, config idemtx.Config) []string {
	switch {
	case st.State == idemadmin.StateAbsent:
		return []string{"The handler runs: nothing is stored, and nobody is at work on it."}
	case st.State == idemadmin.StateInFlight:
		return inFlight(st, config)
	case live(st):
		reply := "The stored reply, and the handler does not run."
		if st.State == idemadmin.StateRefused {
			reply = "The stored refusal, and the handler does not run. What it wrote was undone."
		}
		return []string{reply, otherRequest, afterExpiry(config)}
	case abandoned(st):
		return []string{
			"The handler runs: the lease of the call that had claimed the key has ended without a reply.",
			"That call may have done its work, all of it or a part, before its process died or was cut off.",
		}
	case config.OnExpired == idemtx.RefuseExpired:
		return []string{"ErrExpired, whatever the request: the reply has expired, and the key may not be used again " +
			refusedUntil(st)}
	}
	return []string{runs}
}

func inFlight(st idemadmin.Status, config idemtx.Config) []string {
	first := fmt.Sprintf("It waits up to %s for the reply, and is then told ErrInFlight.", span(config.MaxWait))
	if config.OnDuplicate == idemtx.Refuse {
		first = "ErrInFlight, at once."
	}
	all := []string{first, "Another payload or operation under this key is refused with ErrMismatch, once it is known " +
		"what the key is used for."}
	switch {
	case st.Prepared != "":
		return append(all, "The transaction that has the key is prepared. It ends only when it is committed or "+
			"rolled back by its name.")
	case st.Pid != 0:
		return append(all, "If the transaction that has the key is rolled back, the next request in line runs the handler.")
	}
	return append(all, "The lease is renewed while the handler runs. When it ends all the same, the next request "+
		"takes the key over, and the handler runs again.")
}

func afterExpiry(config idemtx.Config) string {
	if config.OnExpired == idemtx.RefuseExpired {
		return "Once the reply has expired, the key is refused with ErrExpired."
	}
	return "Once the reply has expired, the handler runs again."
}

func refusedUntil(st idemadmin.Status) string {
	if st.RetainUntil.After(time.Now()) {
		return "before " + moment(st.RetainUntil) + "."
	}
	return "until the sweeper has deleted its row."
}
