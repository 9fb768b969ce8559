package proxy

import (
	"time"

	"golang.org/x/sys/unix"
)

// wait blocks a thread of the system. A timer of Go's may be late by a
// millisecond while the program is idle, which is as much as is to be measured.
func wait(until time.Time) {
	for {
		left := time.Until(until)
		if left <= 0 {
			return
		}
		rest := unix.NsecToTimespec(left.Nanoseconds())
		_ = unix.Nanosleep(&rest, nil) // a signal ends it early
	}
}
