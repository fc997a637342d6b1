package node

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"github.com/vishvananda/netns"
)

// TB is what a lab needs of whoever builds it: *testing.T and *testing.B have it, and a program may.
type TB interface {
	Helper()
	Cleanup(f func())
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
}

// Namespace is a network namespace that ends with the test that made it. Its methods are safe for concurrent use.
type Namespace struct {
	t    TB
	name string
}

// newNamespace makes a namespace with its loopback up. The name must be unique in the sandbox.
func newNamespace(t TB, name string) *Namespace {
	t.Helper()
	n := &Namespace{t: t, name: name}
	n.create()
	t.Cleanup(func() {
		if err := netns.DeleteNamed(name); err != nil {
			t.Fatalf("delete the network namespace %s: %v", name, err)
		}
	})
	return n
}

// create makes the namespace itself.
func (n *Namespace) create() {
	n.t.Helper()
	made := make(chan error)
	go func() {
		// The thread has changed its namespace: it is not unlocked, so that it ends with the goroutine.
		runtime.LockOSThread()
		handle, err := netns.NewNamed(n.name)
		if err == nil {
			err = handle.Close()
		}
		made <- err
	}()
	if err := <-made; err != nil {
		n.t.Fatalf("make the network namespace %s: %v", n.name, err)
	}
	n.IP("link", "set", "lo", "up")
}

// Name is the namespace's name, by which `ip` knows it in this sandbox.
func (n *Namespace) Name() string { return n.name }

// Path is the file that stands for the namespace, as setns(2) and nsenter(1) want it.
func (n *Namespace) Path() string { return "/run/netns/" + n.name }

// Command is a program that will run in the namespace. It is killed when the test's process ends; whoever starts it
// waits for it.
func (n *Namespace) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{"--net=" + n.Path(), "--", name}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// Output runs a program in the namespace, and returns what it prints. The error has what it said besides.
func (n *Namespace) Output(ctx context.Context, name string, args ...string) ([]byte, error) {
	cmd := n.Command(ctx, name, args...)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("in %s: %s %s: %w: %s", n.name, name, strings.Join(args, " "), err, strings.TrimSpace(said.String()))
	}
	return out, nil
}

// IP runs `ip` with arguments in the namespace and returns what it prints. An error ends the test.
func (n *Namespace) IP(args ...string) string {
	n.t.Helper()
	out, err := n.TryIP(args...)
	if err != nil {
		n.t.Fatalf("%v", err)
	}
	return out
}

// TryIP is IP for what may fail. The error has what `ip` said.
func (n *Namespace) TryIP(args ...string) (string, error) {
	out, err := n.Command(context.Background(), "ip", args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("in %s: ip %s: %w: %s", n.name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}

// Do calls f on a thread that is in the namespace. What f opens, netlink sockets and files of /proc/sys/net among it,
// belongs to the namespace for good; goroutines that f starts are not in it.
func (n *Namespace) Do(f func() error) error {
	done := make(chan error)
	go func() {
		// As in create: never unlocked.
		runtime.LockOSThread()
		handle, err := netns.GetFromName(n.name)
		if err == nil {
			err = netns.Set(handle)
			_ = handle.Close()
		}
		if err != nil {
			done <- fmt.Errorf("enter the network namespace %s: %w", n.name, err)
			return
		}
		done <- f()
	}()
	return <-done
}
