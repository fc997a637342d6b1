// Package container boots root trees of Debian as nodes, in systemd-nspawn: with the release's own systemd, udev, D-Bus,
// networkd and Netplan, in half a second.
//
// A container has the machine's kernel, so it cannot do what that cannot (VLANs, perhaps), and its cards are veths, which
// have no permanent MAC address: Netplan's match.macaddress finds none of them. What its systemd does stays in it: of
// /proc/sys it can write to net alone, and its udev is asked about network devices only. It needs root of the machine.
package container

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"multinic.dev/testbed/debian"
	"multinic.dev/testbed/node"
	"multinic.dev/testbed/said"
	"multinic.dev/testbed/sandbox"
	"multinic.dev/testbed/waiting"
)

// Container is a node that boots from a disk of its own. Its links and all of its network are those of the Node, on
// which everything works that works on a node of namespaces. It ends with its test. Its methods are not safe for
// concurrent use, but for Run, MustRun and Inside.
type Container struct {
	*node.Node

	t testing.TB
	// folder has the disk: what differs from the tree (upper), and both together (root).
	folder string

	mu      sync.Mutex // guards running
	running *machine
	// booted is whether it has been booted before, so that its kernel has to start anew.
	booted bool
}

// New makes a node with the disk of a release, which is not booted yet: its files can be written before. The name is its
// host name, and must be unique in the sandbox. A test is skipped for an ordinary user, and where apt knows no Debian.
func New(tb testing.TB, release debian.Release, name string) *Container {
	tb.Helper()
	if !sandbox.RealRoot() {
		tb.Skip("a container needs root of the machine: run this test as root (with sudo)")
	}
	if _, err := exec.LookPath(program); err != nil {
		tb.Fatalf("this test needs %s, which is not in PATH: install the Debian package %s", program, programOwner)
	}
	tree, err := debian.Tree(tb.Context(), release)
	if errors.Is(err, debian.ErrNoArchive) {
		tb.Skip(err)
	}
	if err != nil {
		tb.Fatalf("find the tree of Debian %s: %v", release, err)
	}
	c := &Container{Node: node.New(tb, name), t: tb}
	c.makeDisk(tree)
	tb.Cleanup(c.Kill)
	id := make([]byte, 16)
	_, _ = rand.Read(id) // It cannot fail.
	c.Write("/etc/hostname", 0o644, name+"\n")
	c.Write("/etc/machine-id", 0o444, hex.EncodeToString(id)+"\n")
	c.Write("/usr/lib/systemd/system/systemd-udev-trigger.service.d/net.conf", 0o644, onlyNetworkDevices)
	return c
}

// onlyNetworkDevices keeps the container's udev from asking the kernel to announce all of the machine's devices anew,
// which every udev that listens would hear, the machine's own among them.
const onlyNetworkDevices = `[Service]
ExecStart=
ExecStart=udevadm trigger --type=devices --action=add --subsystem-match=net
`

// Boot makes a node with the disk of a release, and boots it.
func Boot(tb testing.TB, release debian.Release, name string) *Container {
	tb.Helper()
	c := New(tb, release, name)
	c.Boot()
	return c
}

// Root is the folder of the machine in which the container's files are, whether it runs or not.
func (c *Container) Root() string { return filepath.Join(c.folder, "root") }

// Live is the container's root as it sees it while it runs, with all that is mounted in it, such as /run.
func (c *Container) Live() string {
	c.t.Helper()
	m := c.machine()
	if m == nil {
		c.t.Fatalf("the container %s does not run", c.Name())
		return ""
	}
	return fmt.Sprintf("/proc/%d/root", m.leader.Load())
}

// Path is where the machine has a file of the container's.
func (c *Container) Path(file string) string { return filepath.Join(c.Root(), file) }

// Write makes a file of the container's, and the folders that it is in, or replaces it at once.
func (c *Container) Write(file string, mode os.FileMode, text string) {
	c.t.Helper()
	path := c.Path(file)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		c.t.Fatalf("make the folder of %s: %v", file, err)
	}
	fresh := path + ".new"
	if err := os.WriteFile(fresh, []byte(text), 0o600); err != nil {
		c.t.Fatalf("write %s: %v", file, err)
	}
	if err := os.Chmod(fresh, mode); err != nil {
		c.t.Fatalf("write %s: %v", file, err)
	}
	if err := os.Rename(fresh, path); err != nil {
		c.t.Fatalf("write %s: %v", file, err)
	}
}

// Inside is a program that will run in the container, in all of its namespaces, as root, with an environment of its own.
// It ends with the container; whoever starts it waits for it. The container must run.
func (c *Container) Inside(ctx context.Context, name string, args ...string) *exec.Cmd {
	c.t.Helper()
	m := c.machine()
	if m == nil {
		c.t.Fatalf("the container %s does not run", c.Name())
		return nil
	}
	return m.inside(ctx, name, args...)
}

// Run runs a program in the container, and returns what it printed and the code with which it exited; 128 and the
// signal's number if one ended it. It ends the test if the program cannot be run, or does not end in time.
func (c *Container) Run(name string, args ...string) (string, int) {
	c.t.Helper()
	ctx, cancel := waiting.For(c.t, patience, waiting.ToSay)
	defer cancel()
	cmd := c.Inside(ctx, name, args...)
	var out said.Output
	cmd.Stdout, cmd.Stderr = &out, &out
	// Whatever it waits for is seen only while it still runs.
	var runs string
	kill := cmd.Cancel
	cmd.Cancel = func() error { runs = c.processes(); return kill() }
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err == nil || ctx.Err() == nil && errors.As(err, &exit) {
		return out.String(), sandbox.ExitCode(err)
	}
	switch {
	case ctx.Err() != nil:
		err = errors.New("it has not ended in time")
	case errors.Is(err, exec.ErrWaitDelay):
		err, runs = errors.New("it has ended, but its output is held by something that it has started"), c.processes()
	}
	c.t.Fatalf("in %s: %s %s: %v\nit printed:\n%sin the container ran:\n%s", c.Name(), name, strings.Join(args, " "), err, &out, runs)
	return "", 0
}

// MustRun is Run for what must not fail: then it ends the test.
func (c *Container) MustRun(name string, args ...string) string {
	c.t.Helper()
	out, code := c.Run(name, args...)
	if code != 0 {
		c.t.Fatalf("in %s: %s %s exited with %d: %s", c.Name(), name, strings.Join(args, " "), code, out)
	}
	return out
}

// Configured waits until networkd has done with links all that it was asked for.
func (c *Container) Configured(links ...string) {
	c.t.Helper()
	args := []string{"--timeout=30"}
	for _, link := range links {
		args = append(args, "--interface="+link)
	}
	if out, code := c.Run("/lib/systemd/systemd-networkd-wait-online", args...); code != 0 {
		state, _ := c.Run("networkctl", append([]string{"--no-pager", "--full", "status"}, links...)...)
		c.t.Fatalf("%s has not configured %s: %s%s", c.Name(), strings.Join(links, ", "), out, state)
	}
}

// machine is what runs now; nil if the container is switched off.
func (c *Container) machine() *machine {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.running
}

// processes lists what runs in the container, a line each.
func (c *Container) processes() string {
	if m := c.machine(); m != nil {
		return m.processes()
	}
	return ""
}
