//go:build linux

package pgnode

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// processes returns those of the node, the server's first one in front. All work
// in the folder of its data, whoever their parent is by now.
func (n *Node) processes() []int {
	links, _ := filepath.Glob("/proc/[0-9]*/cwd")
	var pids []int
	for _, link := range links {
		if dir, err := os.Readlink(link); err != nil || dir != n.dir && !strings.HasPrefix(dir, n.dir+"/") {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link)))
		if err != nil {
			continue
		}
		if n.server != nil && pid == n.server.Process.Pid {
			pids = slices.Insert(pids, 0, pid)
		} else {
			pids = append(pids, pid)
		}
	}
	return pids
}

// titled returns those processes that the server has given one of these titles.
func (n *Node) titled(titles ...string) []int {
	return slices.DeleteFunc(n.processes(), func(pid int) bool {
		title, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		return !slices.ContainsFunc(titles, func(t string) bool { return bytes.Contains(title, []byte("postgres: "+t)) })
	})
}

// stopped tells whether SIGSTOP has taken effect on a process.
func stopped(pid int) bool {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, state, _ := bytes.Cut(stat, []byte(") "))
	return bytes.HasPrefix(state, []byte("T"))
}

// Kill ends the server and every backend with SIGKILL, all at once: none does anything
// about the end of another, such as giving back what that has locked.
func (n *Node) Kill() {
	n.tb.Helper()
	n.await("every process of the node stops", func() bool {
		pids := n.processes()
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGSTOP)
		}
		return !slices.ContainsFunc(pids, func(pid int) bool { return !stopped(pid) })
	})
	n.await("no process of the node is left", func() bool {
		pids := n.processes()
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		return len(pids) == 0
	})
	n.down()
}

// StopImmediate ends the server without a word to its clients and without a
// checkpoint, so that the next start recovers as after a crash.
func (n *Node) StopImmediate() {
	n.tb.Helper()
	n.stop(syscall.SIGQUIT)
}

// Stop shuts the server down, and rolls back what is going on. It waits until
// every standby has everything, so none may be frozen.
func (n *Node) Stop() {
	n.tb.Helper()
	n.stop(syscall.SIGINT)
}

func (n *Node) stop(how syscall.Signal) {
	n.tb.Helper()
	if n.server == nil {
		n.tb.Fatal("pgnode: the node is down")
	}
	n.Thaw()
	_ = n.server.Process.Signal(how)
	n.await("the server stops", func() bool { return len(n.processes()) == 0 })
	n.down()
}

// down follows the end of the last process.
func (n *Node) down() {
	n.tb.Helper()
	if n.server != nil {
		<-n.ended
	}
	n.server, n.frozen = nil, nil
	// The file of a server that was killed names a process, which may be somebody
	// else's by the next start, and a segment of shared memory.
	file := filepath.Join(n.data(), "postmaster.pid")
	if text, err := os.ReadFile(file); err == nil {
		if lines := strings.Split(string(text), "\n"); len(lines) > 6 {
			_, id, _ := strings.Cut(strings.TrimSpace(lines[6]), " ")
			_ = n.home.run("ipcrm", "-m", strings.TrimSpace(id)) // it may have got no further than its file
		}
		_ = os.Remove(file)
	}
}
