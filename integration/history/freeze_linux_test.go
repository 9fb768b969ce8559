package history

import (
	"syscall"
	"time"
)

// freeze stops a backend, which waits for its client and so holds nothing that the
// server itself would miss, and has it go on after a while.
func freeze(backend int, delay time.Duration) {
	if syscall.Kill(backend, syscall.SIGSTOP) == nil {
		time.AfterFunc(delay, func() { _ = syscall.Kill(backend, syscall.SIGCONT) })
	}
}
