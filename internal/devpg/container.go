package devpg

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	tclog "github.com/testcontainers/testcontainers-go/log"
	"github.com/testcontainers/testcontainers-go/modules/postgres"
)

const defaultImage = "postgres:17-alpine"

const (
	// engineTimeout is what an engine that accepts connections and never answers
	// costs where there are other servers to be had. One that works answers in
	// milliseconds, under load in tenths.
	engineTimeout = 3 * time.Second

	// bootTimeout bounds the start of a container whose image is there. It is
	// past testcontainers' own minute for the server to accept connections.
	bootTimeout = 90 * time.Second
)

// dataDir is where no image of PostgreSQL declares a volume: a volume there
// would be mounted over the memory.
const dataDir = "/devpg"

var silence = sync.OnceFunc(func() { tclog.SetDefault(tclog.NewNoopLogger()) })

// startContainer runs PostgreSQL in the engine that testcontainers finds.
func startContainer(ctx context.Context) (s *Server, err error) {
	// testcontainers panics on some settings that it cannot use, such as an
	// invalid RYUK_PORT.
	defer func() {
		if r := recover(); r != nil {
			s, err = nil, fmt.Errorf("testcontainers: %v", r)
		}
	}()
	silence()
	image := cmp.Or(os.Getenv("IDEMTX_POSTGRES_IMAGE"), defaultImage)

	cli, err := engine(ctx)
	if err != nil {
		return nil, fmt.Errorf("no container engine: %w", err)
	}
	defer cli.Close()
	if err := publishedOnLocalhost(cli.DaemonHost()); err != nil {
		return nil, err
	}
	if err := pullImages(ctx, cli.Client, image); err != nil {
		return nil, err
	}
	return runContainer(ctx, image, cli.DaemonHost())
}

// engine returns a client of an engine that answers.
func engine(ctx context.Context) (*testcontainers.DockerClient, error) {
	timeout := engineTimeout
	if os.Getenv("IDEMTX_POSTGRES") == "container" {
		timeout = bootTimeout
	}
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cli, err := testcontainers.NewDockerClientWithOpts(bounded)
	if err == nil {
		_, err = cli.Ping(bounded, client.PingOptions{})
	}
	switch {
	case err == nil:
		return cli, nil
	case bounded.Err() != nil && ctx.Err() == nil:
		return nil, fmt.Errorf("it accepts connections but has not answered within %v", timeout)
	}
	return nil, err
}

// publishedOnLocalhost tells testcontainers where the engine publishes ports
// when it would guess wrong. Inside a container it takes them to be on the
// gateway, which holds for an engine outside; one that runs beside this process
// has its bridge here, publishes on localhost, and may name no gateway at all.
func publishedOnLocalhost(engine string) error {
	const override = "TESTCONTAINERS_HOST_OVERRIDE"
	if _, set := os.LookupEnv(override); set || !strings.HasPrefix(engine, "unix:") {
		return nil
	}
	if _, err := os.Stat("/.dockerenv"); err != nil {
		return nil
	}
	if _, err := net.InterfaceByName("docker0"); err != nil {
		return nil
	}
	return os.Setenv(override, "localhost")
}

func runContainer(ctx context.Context, image, host string) (*Server, error) {
	ctx, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()
	ctr, err := postgres.Run(ctx, image,
		postgres.WithPassword(rand.Text()),
		postgres.BasicWaitStrategies(),
		testcontainers.WithEnv(map[string]string{"PGDATA": dataDir + "/data"}),
		testcontainers.WithTmpfs(map[string]string{dataDir: "rw"}),
		// The module's own command turns fsync off; memory makes that needless.
		testcontainers.WithCmd("postgres",
			"-c", "max_connections=200", "-c", "max_wal_size=256MB", "-c", "timezone=UTC"),
	)
	stop := func() error {
		return testcontainers.TerminateContainer(ctr, testcontainers.StopTimeout(0))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("image %s: %w", image, err), stop())
	}
	url, err := ctr.ConnectionString(ctx, "sslmode=disable")
	if err != nil {
		return nil, errors.Join(err, stop())
	}
	s := &Server{
		// Docker may publish another container's port under the same number of ::1.
		URL:  strings.Replace(url, "@localhost:", "@127.0.0.1:", 1),
		from: fmt.Sprintf("a container of %s on %s", image, host),
		stop: stop,
	}
	if err := s.ping(ctx); err != nil {
		return nil, errors.Join(err, stop())
	}
	return s, nil
}
