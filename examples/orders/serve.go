package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
)

// options are of one process of the service.
type options struct {
	addr   string
	schema string // that stays; empty for one of its own
	mail   string // where the provider is; empty for a stand-in
	work   bool   // whether it works jobs
}

// serve answers requests until ctx ends.
func serve(ctx context.Context, o options, out io.Writer) (err error) {
	// First, because nothing has to be cleaned up when the port is taken.
	listener, err := net.Listen("tcp", o.addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s is taken by another program: choose another with -addr", o.addr)
	case err != nil:
		return err
	}
	defer listener.Close()
	db, err := openDatabase(ctx, o.schema)
	if err != nil {
		return because(ctx, err)
	}
	defer func() { err = errors.Join(err, db.close()) }()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { _ = db.store.RunSweeper(ctx, time.Minute) }() // ends with ctx, and logs what fails
	box, stop, err := db.post(ctx, o.mail, o.work)
	if err != nil {
		return because(ctx, err)
	}
	defer func() { err = errors.Join(err, stop()) }() // after the requests have ended, which may need it
	if db.mails.url != "" {
		fmt.Fprintf(os.Stderr, "orders: the mails that are sent: curl %s\n", db.mails.url)
	}
	server := newServer(newService(db.pool, db.store, db.ledger, box).handler())
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	greet(out, "http://"+listener.Addr().String())
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
		fmt.Fprintln(out, "\norders: stopping")
		return shutDown(server)
	}
}

func newServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second, // past the 10 s that a request waits for another with its key
	}
}

// shutDown lets the requests that are running end, for a while.
func shutDown(server *http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return server.Close() // what has not reached its commit is undone
	}
	return err
}

// greet prints where the service listens and what to try.
func greet(out io.Writer, url string) {
	const command = `curl -i -H 'Authorization: Bearer demo' -H 'Content-Type: application/json' ` +
		`-H 'Idempotency-Key: 8e03978e-40d5-43dd-bc93-6894a57f9324' ` +
		`-d '{"customer":"ada","sku":"lamp","quantity":2}' %s/orders`
	post := fmt.Sprintf(command, url)
	fmt.Fprintf(out, `orders: listening on %s, Ctrl-C ends it

An order, the same order again, and what is left of the 10 lamps:

%s
%s
curl -i %s/stock/lamp

What has become of the keys, for operators, whose name is operator with any password: %s%s
`, url, post, post, url, url, keysPath)
}
