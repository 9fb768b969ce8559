package cases

import (
	"fmt"
	"time"

	"github.com/idemtx/idemtx/benchmarks/contender"
)

// Setting is under what requests are served.
type Setting struct {
	Operation contender.Operation
	Latency   time.Duration // of a round trip, beside that of the loopback interface
	Clients   int
	Reply     int // bytes
}

// Usual is the setting of which the others each change one part.
func Usual(o contender.Operation) Setting {
	return Setting{Operation: o, Clients: 8, Reply: 200}
}

// Name is that of the case.
func (s Setting) Name() string {
	return fmt.Sprintf("%s/%s/%dclients/%s", s.Operation, milliseconds(s.Latency), s.Clients, bytes(s.Reply))
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%dms", d.Milliseconds()) }

func bytes(n int) string {
	if n < 1<<10 {
		return fmt.Sprintf("%dB", n)
	}
	return fmt.Sprintf("%dKiB", n>>10)
}

func settings(quick bool) []Setting {
	var all []Setting
	for _, o := range []contender.Operation{contender.First, contender.Replay} {
		usual := Usual(o)
		all = append(all, usual)
		if quick && o == contender.Replay {
			continue
		}
		vary := func(change func(*Setting)) {
			s := usual
			change(&s)
			all = append(all, s)
		}
		vary(func(s *Setting) { s.Latency = time.Millisecond })
		if quick {
			continue
		}
		vary(func(s *Setting) { s.Latency = 5 * time.Millisecond })
		vary(func(s *Setting) { s.Clients = 1 })
		vary(func(s *Setting) { s.Clients = 64 })
		vary(func(s *Setting) { s.Reply = 16 << 10 })
		vary(func(s *Setting) { s.Reply = 256 << 10 })
	}
	return all
}
