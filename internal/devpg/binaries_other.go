//go:build !unix

package devpg

import (
	"context"
	"errors"
)

func startBinaries(context.Context) (*Server, error) {
	return nil, errors.New("binaries are run on Unix only")
}
