// Package devpg finds or starts a PostgreSQL for the example and the tests.
//
// [Start] tries, in this order: the server that DATABASE_URL names, a container
// of the image IDEMTX_POSTGRES_IMAGE (postgres:17-alpine by default), and
// PostgreSQL binaries on PATH or under /usr/lib/postgresql. IDEMTX_POSTGRES set
// to "url", "container" or "binaries" allows only that one.
//
// What Start starts is gone when the process is, however it ends: [Server.Close]
// is for going early. Containers need testcontainers' reaper for that. With
// TESTCONTAINERS_RYUK_DISABLED=true only Close removes them, and whoever set that
// sweeps by the label org.testcontainers.sessionId.
package devpg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is a PostgreSQL to work with as its superuser, or as whom DATABASE_URL
// says.
type Server struct {
	// URL is understood by pgx and psql, in this process and in its children.
	URL string

	from    string // what runs it, for the line that says which one was taken
	version string
	stop    func() error // nil when the server is not ours to stop
	log     func(string)
	once    sync.Once
}

// source is one way to a server.
type source struct {
	name  string // its value of IDEMTX_POSTGRES
	start func(context.Context) (*Server, error)
}

var sources = []source{
	{"url", startURL},
	{"container", startContainer},
	{"binaries", startBinaries},
}

// errUnset is the one failure of the first source that lets the next be tried:
// a DATABASE_URL that does not work is an error, not a reason to work elsewhere.
var errUnset = errors.New("DATABASE_URL is not set")

// Start returns the first server to be had and reports in one line, through log
// unless it is nil, which one that is and why those before it were passed over.
// The server outlives ctx, which bounds only the start.
func Start(ctx context.Context, log func(string)) (*Server, error) {
	return start(ctx, orDiscard(log), os.Getenv("IDEMTX_POSTGRES"), sources)
}

// MustStart is Start for a TestMain: it reports to standard error, and ends the
// process when there is no server.
func MustStart() *Server {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute) // an image may have to be pulled
	defer cancel()
	s, err := Start(ctx, func(line string) { fmt.Fprintln(os.Stderr, line) })
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return s
}

// start takes the first of sources that works, or the one named by forced.
func start(ctx context.Context, log func(string), forced string, sources []source) (*Server, error) {
	var passed []string
	for _, src := range sources {
		if forced != "" && forced != src.name {
			continue
		}
		s, err := src.start(ctx)
		if err == nil {
			s.log = log
			log(s.took(passed))
			return s, nil
		}
		switch {
		case forced != "":
			return nil, fmt.Errorf("devpg: IDEMTX_POSTGRES=%s: %w", forced, err)
		case src.name == "url" && !errors.Is(err, errUnset), ctx.Err() != nil:
			return nil, fmt.Errorf("devpg: %w", err)
		}
		passed = append(passed, oneLine(err.Error()))
	}
	if passed == nil {
		return nil, fmt.Errorf("devpg: IDEMTX_POSTGRES is %q: it may be url, container or binaries, "+
			"or empty to try them in this order", forced)
	}
	return nil, fmt.Errorf("devpg: there is no PostgreSQL: set DATABASE_URL, start Docker, or install "+
		"the server's binaries (Debian: apt-get install postgresql). Tried: %s", strings.Join(passed, "; "))
}

// Close stops the server and removes its data. It does nothing to a server that
// was running before Start.
func (s *Server) Close() {
	s.once.Do(func() {
		if s.stop == nil {
			return
		}
		if err := s.stop(); err != nil {
			s.log("devpg: stopping " + s.from + ": " + oneLine(err.Error()))
		}
	})
}

func (s *Server) took(passed []string) string {
	line := "devpg: PostgreSQL " + s.version + " from " + s.from
	if passed != nil {
		line += " (" + strings.Join(passed, "; ") + ")"
	}
	return line
}

// ping makes sure that the server answers to URL, and learns its version.
func (s *Server) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.URL)
	if err != nil {
		return err
	}
	s.version, _, _ = strings.Cut(conn.PgConn().ParameterStatus("server_version"), " ")
	return conn.Close(ctx)
}

func startURL(ctx context.Context) (*Server, error) {
	url := os.Getenv("DATABASE_URL")
	if url == "" {
		return nil, errUnset
	}
	s := &Server{URL: url, from: "DATABASE_URL"}
	if err := s.ping(ctx); err != nil {
		return nil, fmt.Errorf("DATABASE_URL is set but cannot be used; correct it, or unset it "+
			"for a throwaway server: %w", err)
	}
	return s, nil
}

func orDiscard(log func(string)) func(string) {
	if log == nil {
		return func(string) {}
	}
	return log
}

// oneLine folds the lines of a tool's complaint into one.
func oneLine(s string) string {
	return strings.Join(strings.Fields(s), " ")
}
