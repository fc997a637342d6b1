package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// modules has the modules that the disk needs, in the order of their names.
	modules = "/modules"
	// disk is the guest's only one.
	disk = "/dev/vda"
	// diskTimeout is how long the kernel may take to find it.
	diskTimeout = time.Minute

	// self is where the agent lives while the guest runs: not on its disk.
	self = "/run/multinic-agent/agent"

	unit = `[Unit]
Description=Agent of the test that this machine belongs to
# It is there until the very end, and is nobody's to stop.
DefaultDependencies=no
After=local-fs.target
IgnoreOnIsolate=yes

[Service]
ExecStart=` + self + `
Restart=always
RestartSec=100ms
KillMode=process
Environment=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
`
)

// beInit makes the disk the root and becomes its init. It returns only if that fails.
func beInit() error {
	if err := mount("devtmpfs", "/dev", "devtmpfs", 0, ""); err != nil {
		return err
	}
	files, err := filepath.Glob(modules + "/*.ko")
	if err != nil {
		return fmt.Errorf("list the modules: %w", err)
	}
	sort.Strings(files)
	for _, file := range files {
		if err := load(file); err != nil {
			return err
		}
	}
	if err := awaitDisk(); err != nil {
		return err
	}
	if err := mount(disk, "/root", "ext4", 0, ""); err != nil {
		return err
	}
	// systemd takes what is mounted already.
	if err := mount("run", "/root/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"); err != nil {
		return err
	}
	if err := moveIn("/root"); err != nil {
		return err
	}
	if err := mount("/dev", "/root/dev", "", unix.MS_MOVE, ""); err != nil {
		return err
	}
	if err := unix.Chdir("/root"); err != nil {
		return fmt.Errorf("go to the root: %w", err)
	}
	if err := mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return err
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("make it the root: %w", err)
	}
	return fmt.Errorf("start its init: %w", unix.Exec("/sbin/init", []string{"/sbin/init"}, []string{"HOME=/", "TERM=linux"}))
}

func mount(source, target, kind string, flags uintptr, data string) error {
	if err := unix.Mount(source, target, kind, flags, data); err != nil {
		return fmt.Errorf("mount %s on %s: %w", source, target, err)
	}
	return nil
}

func load(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open a module: %w", err)
	}
	err = unix.FinitModule(int(file.Fd()), "", 0)
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("load %s: %w", path, err)
	}
	return nil
}

func awaitDisk() error {
	for deadline := time.Now().Add(diskTimeout); ; time.Sleep(10 * time.Millisecond) {
		_, err := os.Stat(disk)
		if !errors.Is(err, fs.ErrNotExist) || time.Now().After(deadline) {
			return err
		}
	}
}

// moveIn puts the agent, and a unit that starts it, beside the disk below a root.
func moveIn(root string) error {
	program, err := os.ReadFile("/init")
	if err != nil {
		return fmt.Errorf("read the agent: %w", err)
	}
	name := filepath.Base(filepath.Dir(self)) + ".service"
	wanted := filepath.Join(root, "/run/systemd/system/multi-user.target.wants")
	if err := errors.Join(os.MkdirAll(filepath.Join(root, filepath.Dir(self)), 0o755), os.MkdirAll(wanted, 0o755)); err != nil {
		return fmt.Errorf("make the agent's folders: %w", err)
	}
	return errors.Join(
		os.WriteFile(filepath.Join(root, self), program, 0o755),
		os.WriteFile(filepath.Join(root, "/run/systemd/system", name), bytes.TrimSpace([]byte(unit)), 0o644),
		os.Symlink("/run/systemd/system/"+name, filepath.Join(wanted, name)),
	)
}
