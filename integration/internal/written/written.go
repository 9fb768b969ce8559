// Package written holds what is written while a test reads it.
package written

import (
	"bytes"
	"sync"
)

// Text is what several goroutines, or another process, have written so far. The zero
// value is empty.
type Text struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (t *Text) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.Write(p)
}

func (t *Text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}
