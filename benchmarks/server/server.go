// Package server runs a PostgreSQL whose commits are durable, on a disk.
package server

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/idemtx/idemtx/internal/devpg"
)

// Start makes the server's data in a folder of its own under dir, which the
// server's user must be able to write. It is gone with this process, however that
// ends; Close is for an earlier end.
func Start(ctx context.Context, log func(string), dir string) (*devpg.Server, error) {
	dir, err := filepath.Abs(dir) // the server works in the root folder
	if err != nil {
		return nil, err
	}
	if inMemory(ctx, dir) {
		return nil, fmt.Errorf("%s is in memory, where a durable commit costs nothing: name a folder on a disk", dir)
	}
	return devpg.StartBinaries(ctx, log, dir,
		"max_connections = 600",
		"shared_preload_libraries = 'pg_stat_statements'",
		"pg_stat_statements.max = 20000",
		"fsync = on",
		"synchronous_commit = on",
		// Enough that a contender pays for its own pages and not for those of another.
		"shared_buffers = '1GB'",
		"max_wal_size = '8GB'",
	)
}

// inMemory asks the stat of GNU. Where there is another, the answer is no.
func inMemory(ctx context.Context, dir string) bool {
	kind, err := exec.CommandContext(ctx, "stat", "-f", "-c", "%T", dir).Output()
	return err == nil && slices.Contains([]string{"tmpfs", "ramfs"}, strings.TrimSpace(string(kind)))
}
