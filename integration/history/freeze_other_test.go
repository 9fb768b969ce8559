//go:build !linux

package history

import "time"

// freeze is never called: pgnode has no server here.
func freeze(int, time.Duration) {}
