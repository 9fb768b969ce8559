// Package command tests the command idemtx and package idemadmin, which does its
// work, on a real server.
package command

import (
	"context"
	"os"
	"os/signal"
	"testing"

	"github.com/idemtx/idemtx/cmd/idemtx/command"
	"github.com/idemtx/idemtx/internal/devpg"
)

// asCommand, in the environment, makes of this test the command, for what a process
// of its own is needed for: libpq's variables and signals.
const asCommand = "IDEMTX_TEST_COMMAND"

var server *devpg.Server

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		os.Exit(command.Of(os.Stdin, os.Stdout, os.Stderr).Run(ctx, os.Args[1:]))
	}
	server = devpg.MustStart()
	code := m.Run()
	server.Close()
	os.Exit(code)
}
