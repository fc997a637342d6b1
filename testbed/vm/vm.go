// Package vm boots Debian in virtual machines.
package vm

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"multinic.dev/testbed/debian"
	"multinic.dev/testbed/vm/disk"
	"multinic.dev/testbed/vm/image"
	"multinic.dev/testbed/vm/order"
)

// VM is a virtual machine.
type VM struct {
	t        testing.TB
	name     string
	snapshot string
	disk     *disk.Disk

	mu      sync.Mutex // guards what follows
	running *machine
	begun   bool // whether its disk differs from the snapshot's
}

// New makes a virtual machine of a release, switched off.
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
	v := &VM{t: tb, name: name, snapshot: from}
	folder, err := os.MkdirTemp("", "vm-")
	if err != nil {
		tb.Fatalf("make a folder for the disk of %s: %v", name, err)
	}
	if v.disk, err = disk.Open(filepath.Join(from, image.Disk), filepath.Join(folder, "layer")); err != nil {
		tb.Fatalf("make the disk of %s: %v", name, err)
	}
	tb.Cleanup(func() {
		v.Kill()
		_ = v.disk.Close()
		_ = os.RemoveAll(folder)
	})
	return v
}

// Start switches on from the snapshot.
func (v *VM) Start() {
	v.t.Helper()
	ctx, cancel := waiting(v.t)
	defer cancel()
	m, err := switchOn(ctx, way{image: v.snapshot, disk: v.disk, from: filepath.Join(v.snapshot, state), accept: refuse})
	if err != nil {
		v.t.Fatalf("start %s: %v", v.name, err)
	}
	v.running = m
	if _, _, err := m.ask(ctx, identity(v.name), nil); err != nil {
		v.t.Fatalf("start %s: %v %s", v.name, err, m.story())
	}
}

// Kill cuts the power.
func (v *VM) Kill() {
	v.t.Helper()
	if v.running == nil {
		return
	}
	if err := v.running.kill(); err != nil {
		v.t.Fatalf("kill %s: %v", v.name, err)
	}
	v.running = nil
	v.disk.CutPower()
}

// Run runs a program.
func (v *VM) Run(name string, args ...string) (string, int) {
	v.t.Helper()
	ctx, cancel := waiting(v.t)
	defer cancel()
	out, code, err := v.running.ask(ctx, &order.Order{Do: order.Run, Args: append([]string{name}, args...)}, nil)
	if err != nil {
		v.t.Fatalf("%v", err)
	}
	return out, code
}
