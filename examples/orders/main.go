// Orders is a small order service. An order that is sent twice is placed once, and
// its confirmation is mailed once.
//
//	go run ./examples/orders        # serves until Ctrl-C
//	go run ./examples/orders -demo  # kills the service in the middle of orders, and counts them
//
// It works in the database that DATABASE_URL names, in a schema of its own, or
// else in a throwaway PostgreSQL. Nothing of either is left when it ends, unless
// -schema says where the tables are to stay. Processes with one -schema are
// replicas of one service.
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
	var o options
	flag.StringVar(&o.addr, "addr", "127.0.0.1:8080", "where to listen")
	flag.StringVar(&o.schema, "schema", "", "work in this `schema` of DATABASE_URL, which stays; by default in one that is dropped at the end")
	flag.StringVar(&o.mail, "mail", "", "the `URL` that mails are posted to; by default a stand-in's of this process")
	flag.BoolVar(&o.work, "work", true, "send mails; with -work=false another process with this -schema must")
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
	return serve(ctx, o, os.Stdout)
}

// because is err, or that ctx has ended when that is the reason.
func because(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	return err
}
