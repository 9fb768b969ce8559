//go:build !linux

package proxy

import "time"

func wait(until time.Time) {
	if left := time.Until(until); left > 0 {
		<-time.After(left)
	}
}
