package outbox

import (
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestEnd ends a worker in the middle of its call, which is answered or is not. Its job
// is done, or left to the next at once, without a rescue.
func TestEnd(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		signal   os.Signal
		answered bool
	}{
		"SIGTERM, answered":   {syscall.SIGTERM, true},
		"SIGINT, answered":    {syscall.SIGINT, true},
		"SIGTERM, unanswered": {syscall.SIGTERM, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.office.placed(false)
			call := s.desk.holdAfter()
			p := s.worker("worker")
			receive(s, "the provider has answered", call.arrived)
			require.NoError(t, p.cmd.Process.Signal(test.signal))
			p.says("orders: stopping")
			if test.answered {
				close(call.goOn)
			}
			require.NoError(t, p.wait(), p.stderr)
			if !test.answered {
				require.Equal(t, "available", s.job())
			}
			s.worker("next")
			s.confirmed()
		})
	}
}
