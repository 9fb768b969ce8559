package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/idemtx/idemtx/idemhttp"
	"github.com/idemtx/idemtx/idemtx"
)

const (
	childArgument = "child-of-the-demo"
	childFailed   = 2 // as the exit code of a panic, and unlike that of a kill
)

// crash is where a child kills itself, with the first order that comes there.
type crash string

const (
	noCrash     crash = ""
	afterWrite  crash = "after the write"  // of the order, before its commit
	afterCommit crash = "after the commit" // of the order, before the client's answer
)

// childConfig is the first line that a child reads.
type childConfig struct {
	DatabaseURL string
	Schema      string
	Crash       crash
}

// runChild prints its address and serves until its standard input ends, which
// is at the end of the demo, however that comes.
func runChild(stdin io.Reader, stdout io.Writer) error {
	signal.Ignore(os.Interrupt) // a Ctrl-C is sent to all; the demo ends its children
	var config childConfig
	lines := json.NewDecoder(stdin)
	if err := lines.Decode(&config); err != nil {
		return fmt.Errorf("child: %w", err)
	}
	var lease time.Duration
	if config.Crash != noCrash {
		lease = time.Second // so long is a key of pool mode blocked by the crash
	}
	pool, store, ledger, err := connect(context.Background(), config.DatabaseURL, config.Schema, lease)
	if err != nil {
		return err
	}
	defer pool.Close()
	box, err := newOutbox(pool, config.Schema, nil) // its jobs are worked by the demo itself
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := newServer(mortal(newService(pool, store, ledger, box), config.Crash))
	go func() {
		_, _ = io.Copy(io.Discard, stdin)
		_ = server.Close()
	}()
	fmt.Fprintf(stdout, "http://%s\n", listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// mortal is the service with a place to die in, and with pool mode beside it.
func mortal(s *service, c crash) http.Handler {
	if c == afterWrite {
		place := s.place
		s.place = func(ctx context.Context, tx pgx.Tx, r idemtx.Request, account string, o order) (placedOrder, error) {
			placed, err := place(ctx, tx, r, account, o)
			if err == nil {
				die()
			}
			return placed, err
		}
	}
	mux := http.NewServeMux()
	mux.Handle("/", s.handler())
	mux.HandleFunc("POST "+poolPath, func(w http.ResponseWriter, r *http.Request) { s.placeInPool(w, r, c) })
	if c != afterCommit {
		return mux
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { mux.ServeHTTP(dyingWriter{w}, r) })
}

// dyingWriter dies of the first thing that is to be sent. The middleware sends
// nothing before COMMIT.
type dyingWriter struct{ http.ResponseWriter }

func (dyingWriter) WriteHeader(int)           { die() }
func (dyingWriter) Write([]byte) (int, error) { die(); return 0, nil }

// die is kill -9: nothing deferred is run, and nothing is said to PostgreSQL.
func die() {
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill()
	}
	if err != nil {
		panic(err)
	}
	select {}
}

const poolPath = "/in-pool-mode/orders"

// placeInPool takes an order in pool mode: in a transaction of its own, which is
// committed before the reply is stored.
func (s *service) placeInPool(w http.ResponseWriter, r *http.Request, c crash) {
	account, owner, err := account(r)
	if err != nil {
		fail(w, r, err)
		return
	}
	o, err := readOrder(w, r)
	if err != nil {
		fail(w, r, err)
		return
	}
	key, err := idemhttp.ParseKey(r.Header.Values("Idempotency-Key"))
	if err != nil {
		fail(w, r, err)
		return
	}
	request := idemtx.Request{Scope: owner, Operation: "POST " + poolPath, Key: key, Payload: o}
	reply, err := idemtx.DoPool(r.Context(), s.store, request, func(ctx context.Context) (placed placedOrder, err error) {
		err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			placed, err = s.place(ctx, tx, request, account, o)
			return err
		})
		if err == nil && c == afterCommit {
			die() // in the gap
		}
		return placed, err
	})
	if err != nil {
		fail(w, r, err)
		return
	}
	if reply.Replayed {
		w.Header().Set("Idempotency-Replayed", "true")
	}
	send(w, http.StatusCreated, reply.Value)
}
