package proxy

import (
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// The clock of this test stands still while anything moves.
func TestChunksAreUnderWayAtTheSameTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const delay = 5 * time.Millisecond
		client, near := net.Pipe()
		far, server := net.Pipe()
		l := &link{client: near, server: far, wait: func(due time.Time) { <-time.After(time.Until(due)) }}
		begun := time.Now()
		var all sync.WaitGroup
		all.Go(func() { l.run(delay) })
		all.Go(func() {
			for i := range byte(3) {
				_, err := client.Write([]byte{i})
				require.NoError(t, err)
				<-time.After(time.Millisecond)
			}
		})
		for i := range byte(3) {
			got := make([]byte, 1)
			_, err := io.ReadFull(server, got)
			require.NoError(t, err)
			require.Equal(t, i, got[0])
			require.Equal(t, delay+time.Duration(i)*time.Millisecond, time.Since(begun))
		}
		l.cut()
		_ = client.Close()
		_ = server.Close()
		all.Wait()
	})
}
