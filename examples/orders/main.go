// Orders is a small order service. An order that is sent twice is placed once.
//
//	go run ./examples/orders        # serves until Ctrl-C
//	go run ./examples/orders -demo  # kills the service in the middle of orders, and counts them
//
// It works in the database that DATABASE_URL names, in a schema of its own, or
// else in a throwaway PostgreSQL. Nothing of either is left when it ends.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
)

func main() {
	if slices.Equal(os.Args[1:], []string{childArgument}) {
		exit(runChild(os.Stdin, os.Stdout), childFailed)
	}
	exit(run(), 1)
}

func exit(err error, failure int) {
	if err == nil {
		os.Exit(0)
	}
	fmt.Fprintln(os.Stderr, "orders:", err)
	os.Exit(failure)
}

func run() error {
	addr := flag.String("addr", "127.0.0.1:8080", "where to listen")
	demo := flag.Bool("demo", false, "kill the service in the middle of orders, count them, and exit")
	flag.Parse()
	if flag.NArg() > 0 {
		return errors.New("there are arguments that are no flags; see -help")
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // from then on a Ctrl-C ends the process at once

	if *demo {
		return runDemo(ctx, os.Stdout)
	}
	return serve(ctx, *addr, os.Stdout)
}

// because is err, or that ctx has ended when that is the reason.
func because(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	return err
}
