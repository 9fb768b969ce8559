//go:build unix

package devpg

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

//go:embed supervise.sh
var superviseScript string

//go:embed folder.sh
var folderScript string

// Binaries returns the folders with the programs of a PostgreSQL server, the one
// to prefer first.
func Binaries() []string {
	return binDirs(os.Getenv("PATH"), "/usr/lib/postgresql")
}

func startBinaries(ctx context.Context) (*Server, error) {
	return StartBinaries(ctx, nil, "")
}

// StartBinaries is [Start] with the first PostgreSQL installation that comes up, and
// no other source. The data is in a folder of its own in dir, which the server's user
// must be able to write, or, when dir is empty, where a sync is free. settings are
// further lines of postgresql.conf.
func StartBinaries(ctx context.Context, log func(string), dir string, settings ...string) (*Server, error) {
	bins := Binaries()
	if len(bins) == 0 {
		return nil, errors.New("no PostgreSQL binaries on PATH or under /usr/lib/postgresql/*/bin")
	}
	var errs []error
	for _, bin := range bins {
		s, err := supervise(ctx, bin, dir, strings.Join(settings, "\n"))
		if err == nil {
			s.log = orDiscard(log)
			return s, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", bin, err))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(errs...)
}

// binDirs returns the folders that hold a whole server: those of path in its
// order, then root/*/bin with the newest version first.
func binDirs(path, root string) []string {
	installed, _ := filepath.Glob(filepath.Join(root, "*", "bin"))
	slices.SortFunc(installed, func(a, b string) int { return version(b) - version(a) })

	var bins []string
	for _, dir := range append(filepath.SplitList(path), installed...) {
		// A relative folder on PATH means another place to the supervisor, which
		// works in the root folder.
		if filepath.IsAbs(dir) && !slices.Contains(bins, dir) && hasServer(dir) {
			bins = append(bins, dir)
		}
	}
	return bins
}

// version reads the 17 of /usr/lib/postgresql/17/bin. What is no number sorts last.
func version(bin string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(bin)))
	return n
}

func hasServer(dir string) bool {
	for _, name := range []string{"initdb", "pg_ctl", "postgres"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode()&0o111 == 0 {
			return false
		}
	}
	return true
}

// supervise starts a server under a shell that outlives this process just long
// enough to remove it. See supervise.sh.
func supervise(ctx context.Context, bin, dir, settings string) (*Server, error) {
	ports, err := freePorts(5)
	if err != nil {
		return nil, err
	}
	cmd, err := Shell(superviseScript, append([]string{bin, dir, settings}, ports...)...)
	if err != nil {
		return nil, err
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	control, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop := func() error {
		_ = control.Close() // this is the signal; see supervise.sh
		return cmd.Wait()
	}

	// A closed pipe makes the shell give up, so the read below ends with ctx.
	defer context.AfterFunc(ctx, func() { _ = control.Close() })()
	password := rand.Text()
	_, _ = io.WriteString(control, password+"\n")
	port, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || ctx.Err() != nil {
		_ = stop()
		return nil, cmp.Or(ctx.Err(), fmt.Errorf("no server: %s", oneLine(stderr.String())))
	}
	s := &Server{
		URL: fmt.Sprintf("postgres://postgres:%s@127.0.0.1:%s/postgres?sslmode=disable",
			password, strings.TrimSpace(port)),
		from: "the binaries in " + bin,
		stop: stop,
	}
	if err := s.ping(ctx); err != nil {
		_ = stop()
		return nil, err
	}
	return s, nil
}

// Shell returns a shell that runs script as the server's user and outlives this
// process. A script that owns something reads its standard input, a pipe that
// only this process holds, and cleans up when that closes. The function
// make_folder of folder.sh is at its hand.
//
// Not by exec.CommandContext: killing the shell would orphan what it owns.
func Shell(script string, args ...string) (*exec.Cmd, error) {
	attr, err := ServerAttr()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("/bin/sh", append([]string{"-c", `eval "$DEVPG_SCRIPT"`, "devpg"}, args...)...)
	cmd.Dir = "/" // the working directory may be closed to the server's user
	// As an argument the script would fill the screen of everybody who runs ps.
	cmd.Env = append(os.Environ(), "DEVPG_SCRIPT=unset DEVPG_SCRIPT\n"+folderScript+script)
	cmd.SysProcAttr = attr
	return cmd, nil
}

// ServerAttr gives a server a session of its own, because a Ctrl-C is for this
// process, which may need the server to finish what it does; and a user that
// PostgreSQL accepts: it refuses to run as root.
func ServerAttr() (*syscall.SysProcAttr, error) {
	attr := &syscall.SysProcAttr{Setsid: true}
	if os.Geteuid() != 0 {
		return attr, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		if uidErr == nil && gidErr == nil && uid != 0 {
			attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
			return attr, nil
		}
	}
	return nil, errors.New("PostgreSQL refuses to run as root and there is no user postgres or nobody to run it as: " +
		"create one, or run as an ordinary user")
}

// freePorts asks the kernel for n different ports of the loopback interface.
// They are given back at once, so any of them may be taken again by the time
// the server binds it; that is why there are several.
func freePorts(n int) ([]string, error) {
	ports := make([]string, n)
	for i := range ports {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports[i] = strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
