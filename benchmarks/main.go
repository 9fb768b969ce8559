// Command benchmarks compares idemtx with what it cannot beat and with what people
// use or write instead of it, in one run, and tells which targets were met:
//
//	go -C benchmarks run . -out RESULTS.md
//
// It runs a PostgreSQL of its own, from the binaries that are installed, with
// durable commits, on a disk. It is gone at the end.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"

	"github.com/idemtx/idemtx/benchmarks/byhand"
	"github.com/idemtx/idemtx/benchmarks/cases"
	"github.com/idemtx/idemtx/benchmarks/contender"
	"github.com/idemtx/idemtx/benchmarks/floors"
	"github.com/idemtx/idemtx/benchmarks/libraries"
	"github.com/idemtx/idemtx/benchmarks/ours"
	"github.com/idemtx/idemtx/benchmarks/proxy"
)

// options are the flags.
type options struct {
	run    *regexp.Regexp
	rounds int
	turn   time.Duration
	conns  int
	quick  bool
	shrink int
	bloat  int
	aging  time.Duration
	out    string
	data   string
	url    string
}

func main() {
	proxy.Serve() // when this is the process of one
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The second signal is not waited for.
	context.AfterFunc(ctx, stop)
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = benchmark(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		stop()
		os.Exit(1)
	}
}

func parse(arguments []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("benchmarks", flag.ContinueOnError)
	run := flags.String("run", "", "measure the cases whose name matches this regular expression")
	flags.IntVar(&o.rounds, "rounds", 10, "how many turns each contender has in a case")
	flags.DurationVar(&o.turn, "duration", time.Second, "how long a turn is")
	flags.IntVar(&o.conns, "conns", 16, "how many connections the pool of each contender has")
	flags.BoolVar(&o.quick, "quick", false, "see in a few seconds that everything works; the figures say nothing")
	flags.IntVar(&o.shrink, "shrink", 1, "make the tables so many times smaller, for a weak machine")
	flags.IntVar(&o.bloat, "bloat", 0, "tell the table's size over so many first requests, such as 10000000, which takes 77 minutes at 2,150 a second")
	flags.DurationVar(&o.aging, "vacuum", 0, "compare settings of autovacuum for so long, such as 15m")
	flags.StringVar(&o.out, "out", "", "write the report to this file, too, and the picture beside it")
	flags.StringVar(&o.data, "data", os.TempDir(), "make the server's data in this folder, which its user can write")
	flags.StringVar(&o.url, "url", "", "use this server, as a superuser, and start none")
	if err := flags.Parse(arguments); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("what is %q to mean? Cases are chosen with -run", flags.Arg(0))
	}
	var err error
	if o.run, err = regexp.Compile(*run); err != nil {
		return o, fmt.Errorf("-run: %w", err)
	}
	if o.quick {
		o.rounds, o.turn, o.shrink = 2, 20*time.Millisecond, 1000
	}
	if o.rounds < 1 || o.turn <= 0 || o.conns < 3 || o.shrink < 1 || o.shrink > 1000 || o.bloat < 0 || o.aging < 0 {
		return o, errors.New("-rounds and -duration must be positive, -conns at least 3, -shrink from 1 to 1000")
	}
	return o, nil
}

// chosen are the cases to run.
func (o options) chosen() (chosen []cases.Case) {
	for _, c := range cases.All(o.quick, o.bloat, o.aging) {
		if o.run.MatchString(c.Name) {
			chosen = append(chosen, c)
		}
	}
	return chosen
}

func contenders() (all []contender.Contender) {
	all = append(all, ours.All()...)
	all = append(all, floors.All()...)
	all = append(all, byhand.All()...)
	return append(all, libraries.All()...)
}
