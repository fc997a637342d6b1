// Package machine makes machines out of namespaces: each has its own network, mounts, processes and host name, and a root
// file system of its own in memory, which shares nothing with the machine that it is on but programs and devices that hold
// nothing.
//
// What runs in one can write to no file and no setting outside, so there is nothing to put back. It needs root of the machine.
package machine

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"multinic.dev/lab/program"
	"multinic.dev/testbed/node"
	"multinic.dev/testbed/sandbox"
)

// Disk is what the root file system has at first, beside the machine's programs.
type Disk struct {
	// Name is the host name.
	Name string `json:"name"`
	// Files are the contents of files by their absolute paths. Root alone can read them.
	Files map[string][]byte `json:"files"`
	// Programs are files of the machine outside, by their absolute paths inside. Nobody inside can change them.
	Programs map[string]string `json:"programs"`
	// Settings are values of the kernel, by their paths below /proc/sys, that whoever looks inside finds. The kernel
	// outside keeps its own: what is written to them is written to a file.
	Settings map[string]string `json:"settings"`
	// Kept are folders that a restart leaves as they are, by their absolute paths. All else is as it was at first then.
	Kept []string `json:"kept"`
}

// boot is what a machine starts from: its disk, with what the folders that are kept have, by their paths, and its ids.
type boot struct {
	Disk

	KeptIn map[string]string `json:"kept_in"`
	ID     string            `json:"id"`
	BootID string            `json:"boot_id"`
}

// Machine is one that runs. Its network is the Node's, on which everything works that works on a node of namespaces. It ends
// with its test. Its methods are safe for concurrent use.
type Machine struct {
	*node.Node

	t    testing.TB
	boot boot

	mu       sync.Mutex // guards keeper and services
	keeper   *program.Process
	services []service
}

// service is a program that runs on a machine for as long as that does.
type service struct {
	title   string
	process *program.Process
}

// Start starts a machine in the network namespace of a node, with nothing running in it. TestMain must call Keeper first.
func Start(tb testing.TB, n *node.Node, disk Disk) *Machine {
	tb.Helper()
	if !sandbox.RealRoot() {
		tb.Skip("a machine with containers needs root of the machine: run this test as root (with sudo)")
	}
	m := &Machine{Node: n, t: tb, boot: boot{Disk: disk, ID: newID(), KeptIn: map[string]string{}}}
	for _, path := range disk.Kept {
		m.boot.KeptIn[path] = keep(tb)
	}
	m.switchOn()
	tb.Cleanup(m.switchOff)
	return m
}

// keep makes a folder in memory that outlives a machine's root, and goes with the test.
func keep(tb testing.TB) string {
	tb.Helper()
	folder := tb.TempDir()
	if err := unix.Mount("kept", folder, "tmpfs", 0, "mode=0755"); err != nil {
		tb.Fatalf("mount what a restart leaves: %v", err)
	}
	tb.Cleanup(func() {
		if err := unix.Unmount(folder, 0); err != nil {
			tb.Errorf("let go of what a restart leaves: %v", err)
		}
	})
	return folder
}

// newID draws what names a machine or a boot: 128 bits, in hexadecimal digits.
func newID() string {
	id := make([]byte, 16)
	_, _ = rand.Read(id) // It cannot fail.
	return hex.EncodeToString(id)
}

// switchOn starts the keeper, and returns when the machine is there, with nothing running on it.
func (m *Machine) switchOn() {
	m.t.Helper()
	self, err := os.Executable()
	if err != nil {
		m.t.Fatalf("find the own program: %v", err)
	}
	m.boot.BootID = newID()
	described, err := json.Marshal(m.boot)
	if err != nil {
		m.t.Fatalf("describe the disk of %s: %v", m.boot.Name, err)
	}
	// nsenter becomes the keeper, which is the first process of the namespaces in which it is started.
	cmd := m.Node.Command(context.Background(), self)
	cmd.Env = []string{keeperEnv + "=" + m.t.TempDir(), "PATH=" + os.Getenv("PATH")}
	cmd.Stdin = bytes.NewReader(described)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS}
	ready, said, err := os.Pipe()
	if err != nil {
		m.t.Fatalf("make a pipe to the machine %s: %v", m.boot.Name, err)
	}
	cmd.ExtraFiles = []*os.File{said}
	keeper, err := program.Start(m.boot.Name, cmd)
	_ = said.Close()
	if err != nil {
		m.t.Fatalf("%v", err)
	}
	m.mu.Lock()
	m.keeper = keeper
	m.mu.Unlock()
	line, err := bufio.NewReader(ready).ReadString('\n')
	_ = ready.Close()
	if err != nil || strings.TrimSpace(line) != readyLine {
		_, _ = keeper.Wait(endTimeout)
		m.t.Fatalf("the machine %s has not started: %v: %s", m.boot.Name, err, keeper.Log())
	}
}

// Restart switches the machine off, as a power cut does, and on again: what runs on it ends, its links are as they were when they
// were plugged in, and of its files only those of the kept folders are as they were last. Nothing runs on it then.
func (m *Machine) Restart() {
	m.t.Helper()
	m.switchOff()
	m.Node.Restart()
	m.switchOn()
}

// Command is a program that will run on the machine, in all of its namespaces. Whoever starts it waits for it; it ends with
// the machine.
func (m *Machine) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{
		"--target=" + strconv.Itoa(m.pid()), "--mount", "--uts", "--net", "--pid", "--root", "--wd", "--", name,
	}, args...)...)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// MustRun runs a program on the machine and returns what it prints. An error ends the test.
func (m *Machine) MustRun(name string, args ...string) string {
	m.t.Helper()
	out, err := m.Command(m.t.Context(), name, args...).CombinedOutput()
	if err != nil {
		m.t.Fatalf("on %s: %s %s: %v: %s", m.Name(), name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Outside is the path at which a file of the machine is seen from outside of it.
func (m *Machine) Outside(path string) string {
	return fmt.Sprintf("/proc/%d/root%s", m.pid(), path)
}

// Serve starts a program that runs on the machine until that ends. What it has printed is shown, under a title, if the test
// fails.
func (m *Machine) Serve(title, name string, args ...string) {
	m.t.Helper()
	process, err := program.Start(title+" on "+m.Name(), m.Command(context.Background(), name, args...))
	if err != nil {
		m.t.Fatalf("%v", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.services = append(m.services, service{title: title, process: process})
}

// pid is that of the keeper, outside.
func (m *Machine) pid() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.keeper.PID()
}

// switchOff ends all processes of the machine: the kernel does, with the first.
func (m *Machine) switchOff() {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.keeper.Kill(); err != nil {
		m.t.Errorf("switch %s off: %v", m.Name(), err)
	}
	for _, s := range m.services {
		// Only now: whoever is ended from outside leaves behind what it had started, with its output open.
		if _, err := s.process.Wait(endTimeout); err != nil {
			m.t.Errorf("switch %s off: %v", m.Name(), err)
		}
		if log := s.process.Log(); m.t.Failed() {
			m.t.Logf("the last that %s on %s said:\n%s", s.title, m.Name(), log[max(0, len(log)-logTail):])
		}
	}
	m.services = nil
}
