// Command idemtx looks after the table of an idemtx store: it makes and compares
// the table, tells what has become of a key, sweeps, and examines the server.
//
//	go run github.com/idemtx/idemtx/cmd/idemtx help
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/idemtx/idemtx/cmd/idemtx/command"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The second Ctrl-C ends the process at once.
	context.AfterFunc(ctx, stop)
	return command.Of(os.Stdin, os.Stdout, os.Stderr).Run(ctx, os.Args[1:])
}
