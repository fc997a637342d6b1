// Package vm boots Debian in virtual machines, by qemu's software emulation: with the release's own kernel, systemd, udev,
// networkd and Netplan, with VLANs, and with network cards that have permanent MAC addresses and are plugged in and out.
//
// A machine starts in half a second from a snapshot, which is of a system that has just booted and has no card yet; or it
// boots from its disk, in twenty seconds. All in it is some twenty times as slow as on the machine. It needs root.
//
// Its disk (package disk) has a write cache, which a power cut empties: what the guest has not flushed is lost, all of it.
// So a file that was not synced, or whose folder was not, is found missing or empty after Kill as soon as nothing else has
// flushed the disk in between; ext4 itself commits its journal every five seconds, and whenever anybody syncs anything. A
// test that wants to see the loss must cut the power at once. What is not shown is a disk that keeps part of its cache,
// in whatever order: code that relies on an order of writes without a flush between them passes here.
package vm

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"multinic.dev/testbed/debian"
	"multinic.dev/testbed/vm/disk"
	"multinic.dev/testbed/vm/image"
	"multinic.dev/testbed/vm/order"
	"multinic.dev/testbed/vm/streams"
	"multinic.dev/testbed/waiting"
)

// VM is a virtual machine. It ends with its test. Its methods are not safe for concurrent use, but for Run, TryRun and
// MustRun.
type VM struct {
	t        testing.TB
	name     string
	snapshot string
	disk     *disk.Disk

	cards []*NIC // what is plugged in, in the order in which it was
	plugs int    // how often something was

	mu       sync.Mutex        // guards what follows
	running  *machine          // nil: it is off
	debian   bool              // whether it boots by Debian's own initrd
	forwards map[string]string // sockets in the guest, and where they lead
	// begun is whether its disk is not that of the snapshot any more.
	begun bool
}

// New makes a virtual machine with the disk of a release, which is off. The name is its host name. A test is skipped
// where no virtual machines are to be tested, for an ordinary user, and where apt knows no Debian.
func New(tb testing.TB, release debian.Release, name string) *VM {
	tb.Helper()
	if reason := why(); reason != "" {
		tb.Skip(reason)
	}
	if _, err := exec.LookPath(program); err != nil {
		tb.Fatalf("this test needs %s, which is not in PATH: install the Debian package %s", program, programOwner)
	}
	from := os.Getenv(snapshotEnv + string(release))
	if from == "" {
		tb.Skip(debian.ErrNoArchive)
	}
	d, err := disk.Open(filepath.Join(from, image.Disk), filepath.Join(tb.TempDir(), "layer"))
	if err != nil {
		tb.Fatalf("make the disk of %s: %v", name, err)
	}
	return with(tb, name, from, d)
}

// with makes a virtual machine with a disk, which ends with it.
func with(tb testing.TB, name, snapshot string, d *disk.Disk) *VM {
	tb.Helper()
	v := &VM{t: tb, name: name, snapshot: snapshot, disk: d, forwards: map[string]string{}}
	tb.Cleanup(func() {
		v.Kill()
		if err := v.disk.Close(); err != nil {
			tb.Fatalf("close the disk of %s: %v", name, err)
		}
	})
	return v
}

// Fork makes another machine, which is off and has no cards, with a disk that has what a power cut would leave of this one's
// now, whether it runs or not. Its host name and its machine-id are this one's. It can be booted, not started.
func (v *VM) Fork(name string) *VM {
	v.t.Helper()
	fork, err := v.fork(name)
	if err != nil {
		v.t.Fatalf("%v", err)
	}
	return fork
}

func (v *VM) fork(name string) (*VM, error) {
	d, err := v.disk.Fork(filepath.Join(v.t.TempDir(), "layer"))
	if err != nil {
		return nil, fmt.Errorf("copy the disk of %s: %w", v.name, err)
	}
	fork := with(v.t, name, v.snapshot, d)
	fork.begun, fork.debian = true, v.debian
	return fork, nil
}

// Start makes a virtual machine and starts it from the snapshot.
func Start(tb testing.TB, release debian.Release, name string) *VM {
	tb.Helper()
	v := New(tb, release, name)
	v.Start()
	return v
}

// Name is the machine's host name.
func (v *VM) Name() string { return v.name }

// Write makes a file in the guest, and the folders that it is in, or replaces it at once, durably. The machine must run.
func (v *VM) Write(file string, mode fs.FileMode, text string) {
	v.t.Helper()
	v.send(file, mode, strings.NewReader(text))
}

// Put copies a program of this machine's into the guest, durably. The machine must run.
func (v *VM) Put(program, path string) {
	v.t.Helper()
	file, err := os.Open(program)
	if err != nil {
		v.t.Fatalf("open what is to be put into %s: %v", v.name, err)
	}
	v.send(path, 0o755, file)
	if err := file.Close(); err != nil {
		v.t.Fatalf("close what was put into %s: %v", v.name, err)
	}
}

func (v *VM) send(path string, mode fs.FileMode, from io.Reader) {
	v.t.Helper()
	ctx, cancel := waiting.For(v.t, patience, waiting.ToSay)
	defer cancel()
	m := v.mustRun()
	if _, _, err := m.ask(ctx, &order.Order{Do: order.Write, Path: path, Mode: uint32(mode.Perm())}, from); err != nil {
		v.t.Fatalf("in %s: write %s: %v; %s", v.name, path, err, m.story())
	}
}

// machine is what runs now; nil if the virtual machine is off.
func (v *VM) machine() *machine {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.running
}

// mustRun is machine for what needs one: that there is none ends the test.
func (v *VM) mustRun() *machine {
	v.t.Helper()
	m := v.machine()
	if m == nil {
		v.t.Fatalf("the virtual machine %s is off", v.name)
	}
	return m
}

// switchOn starts qemu, in a way that lacks only what all ways have.
func (v *VM) switchOn(ctx context.Context, w way) *machine {
	v.t.Helper()
	if v.machine() != nil {
		v.t.Fatalf("the virtual machine %s runs already", v.name)
	}
	w.image, w.disk, w.debian = v.snapshot, v.disk, v.debian
	w.accept = func(m *machine, s *streams.Stream) { v.accept(m, s) }
	m, err := switchOn(ctx, w)
	if err != nil {
		v.t.Fatalf("switch %s on: %v", v.name, err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.running, v.begun = m, true
	return m
}
