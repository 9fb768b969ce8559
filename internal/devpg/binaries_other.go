//go:build !unix

package devpg

import (
	"context"
	"errors"
)

func startBinaries(ctx context.Context) (*Server, error) {
	return StartBinaries(ctx, nil, "")
}

// StartBinaries returns an error.
func StartBinaries(context.Context, func(string), string, ...string) (*Server, error) {
	return nil, errors.New("binaries are run on Unix only")
}
