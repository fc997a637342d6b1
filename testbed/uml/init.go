package uml

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// serialLine is where the test's output goes.
const serialLine = "/dev/ttyS0"

// modules are what the kernel is to know besides what is built into it.
func modules() []string {
	return []string{"8021q", "bridge", "veth", "dummy", "macvlan", "bonding"}
}

// beInit is the first process under the kernel: it prepares it, runs the program of the boot file, says how that ended,
// and powers the kernel off. It does not return.
func beInit(file string) {
	err := initialize(file)
	if err != nil {
		fmt.Fprintf(os.Stderr, "uml: %v\n", err)
	}
	syscall.Sync()
	err = syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
	fmt.Fprintf(os.Stderr, "uml: power off: %v\n", err)
	os.Exit(1)
}

func initialize(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read the boot file: %w", err)
	}
	var b boot
	if err := json.Unmarshal(text, &b); err != nil {
		return fmt.Errorf("understand the boot file %s: %w", file, err)
	}
	if err := prepareKernel(b); err != nil {
		return err
	}
	serial, err := openSerial()
	if err != nil {
		return err
	}
	code, err := runInside(b, serial)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(serial, "%s %d\n", b.Token, code)
	// Closing waits until the line has sent all.
	return errors.Join(err, serial.Close())
}

// prepareKernel mounts what every program expects, loads the modules, and brings the loopback up.
func prepareKernel(b boot) error {
	for _, mount := range []struct{ kind, at string }{
		{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"tmpfs", "/dev/shm"}, {"tmpfs", "/run"},
		{"tmpfs", b.Temporary},
	} {
		if mount.at == "/dev/shm" {
			if err := os.MkdirAll(mount.at, 0o755); err != nil {
				return fmt.Errorf("make %s: %w", mount.at, err)
			}
		}
		// Some kernels have mounted /dev by then.
		if err := unix.Mount(mount.kind, mount.at, mount.kind, 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("mount %s: %w", mount.at, err)
		}
	}
	if err := loadModules(); err != nil {
		return err
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find the loopback link: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("bring the loopback link up: %w", err)
	}
	return nil
}

// loadModules loads the modules after those that each needs, as modules.dep(5) has them.
func loadModules() error {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return fmt.Errorf("ask for the kernel's version: %w", err)
	}
	folder := filepath.Join("/usr/lib/uml/modules", unix.ByteSliceToString(name.Release[:]))
	text, err := os.ReadFile(filepath.Join(folder, "modules.dep"))
	if err != nil {
		return fmt.Errorf("find the kernel's modules: %w", err)
	}
	needs := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		if module, others, ok := strings.Cut(line, ":"); ok {
			needs[module] = strings.Fields(others)
		}
	}
	for _, wanted := range modules() {
		found := false
		for module, others := range needs {
			if filepath.Base(module) != wanted+".ko" {
				continue
			}
			found = true
			// What is to be loaded first stands last.
			for _, other := range slices.Backward(others) {
				if err := load(filepath.Join(folder, other)); err != nil {
					return err
				}
			}
			if err := load(filepath.Join(folder, module)); err != nil {
				return err
			}
		}
		if !found {
			return fmt.Errorf("the kernel's modules in %s lack %s", folder, wanted)
		}
	}
	return nil
}

// load loads a module that may be loaded already.
func load(file string) error {
	module, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("load a module: %w", err)
	}
	defer func() { _ = module.Close() }()
	if err := unix.FinitModule(int(module.Fd()), "", 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("load the module %s: %w", file, err)
	}
	return nil
}

// openSerial opens the serial line, which passes on what is written to it, byte for byte.
func openSerial() (*os.File, error) {
	serial, err := os.OpenFile(serialLine, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("open the serial line: %w", err)
	}
	mode, err := unix.IoctlGetTermios(int(serial.Fd()), unix.TCGETS)
	if err == nil {
		mode.Oflag &^= unix.OPOST
		mode.Lflag &^= unix.ECHO | unix.ICANON | unix.ISIG
		err = unix.IoctlSetTermios(int(serial.Fd()), unix.TCSETS, mode)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("set up the serial line: %w", err), serial.Close())
	}
	return serial, nil
}

// runInside runs the program, reaps what it leaves, and returns its code.
func runInside(b boot, serial *os.File) (int, error) {
	cmd := exec.Command(b.Args[0], b.Args[1:]...) //nolint:noctx // The kernel ends with it.
	cmd.Env, cmd.Dir = b.Env, b.Folder
	cmd.Stdout, cmd.Stderr = serial, serial
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start the program: %w", err)
	}
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 0, fmt.Errorf("wait for the program: %w", err)
		case pid == cmd.Process.Pid && status.Signaled():
			return 128 + int(status.Signal()), nil
		case pid == cmd.Process.Pid:
			return status.ExitStatus(), nil
		}
	}
}
