//go:build !linux

// Package pgnode starts PostgreSQL servers that belong to one test. It is for
// Linux, where processes are found in /proc.
package pgnode

import (
	"os"
	"testing"
)

// Node is a server, or a standby.
type Node struct{}

// New skips the test, or fails it when IDEMTX_TOOLS says that servers are required.
func New(tb testing.TB, _ ...string) *Node {
	tb.Helper()
	const text = "pgnode: servers of a test's own are started on Linux only"
	if os.Getenv("IDEMTX_TOOLS") == "required" {
		tb.Fatal(text)
	}
	tb.Skip(text)
	return nil
}

// URL is never reached, like everything below.
func URL(...*Node) string { return "" }

// URL has no node.
func (*Node) URL() string { return "" }

// Setenv has no node.
func (*Node) Setenv(string, string) {}

// StopImmediate has no node.
func (*Node) StopImmediate() {}

// Stop has no node.
func (*Node) Stop() {}

// Kill has no node.
func (*Node) Kill() {}

// Start has no node.
func (*Node) Start() {}

// Standby has no node.
func (*Node) Standby(string) *Node { return nil }

// Synchronous has no node.
func (*Node) Synchronous(string) {}

// Promote has no node.
func (*Node) Promote() {}

// Freeze has no node.
func (*Node) Freeze() {}

// Thaw has no node.
func (*Node) Thaw() {}
