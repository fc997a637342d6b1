package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// shared are the files and folders of the machine outside, beside /usr, that its programs need: who users are, which
// libraries there are, which of several programs is meant by a name. Nobody inside can change them, and one that is not
// there is not needed.
var shared = []string{ //nolint:gochecknoglobals // A constant, if lists could be.
	"/etc/alternatives", "/etc/ethertypes", "/etc/group", "/etc/ld.so.cache", "/etc/nsswitch.conf", "/etc/passwd", "/etc/protocols", "/etc/services",
}

// devices are those that hold nothing, and the kernel's log, which kubelet reads.
var devices = []string{"null", "zero", "full", "random", "urandom", "tty", "kmsg"} //nolint:gochecknoglobals // As above.

// makeRoot mounts a root file system on a folder, and makes it the only one that this process sees.
func makeRoot(folder string, from boot) error {
	// What is mounted from here on is nobody else's.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	if err := unix.Mount("root", folder, "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("mount the root: %w", err)
	}
	r := root(folder)
	for _, step := range []func() error{
		r.folders, r.programs, r.kernel, r.devices,
		func() error { return r.fill(from) },
		r.enter,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// root is the path, outside, of a root file system that is being made.
type root string

func (r root) at(path string) string { return filepath.Join(string(r), path) }

// folders makes those that every machine has.
func (r root) folders() error {
	for _, path := range []string{"dev", "etc", "home", "mnt", "opt", "proc", "root", "run", "srv", "sys", "usr", "var/lib", "var/log"} {
		if err := os.MkdirAll(r.at(path), 0o755); err != nil {
			return fmt.Errorf("make the folder /%s: %w", path, err)
		}
	}
	for _, path := range []string{"tmp", "var/tmp"} {
		if err := errors.Join(os.Mkdir(r.at(path), 0o777), os.Chmod(r.at(path), 0o777|os.ModeSticky)); err != nil {
			return fmt.Errorf("make the folder /%s: %w", path, err)
		}
	}
	return os.Symlink("../run", r.at("var/run"))
}

// programs shows the machine's programs, and what they need.
func (r root) programs() error {
	if err := r.show("/usr", "/usr"); err != nil {
		return err
	}
	for _, path := range []string{"/bin", "/sbin", "/lib", "/lib32", "/lib64"} {
		// A link into /usr, on machines of this decade.
		target, err := os.Readlink(path)
		switch {
		case err == nil:
			err = os.Symlink(target, r.at(path))
		case errors.Is(err, fs.ErrNotExist):
			err = nil
		default:
			err = r.show(path, path)
		}
		if err != nil {
			return err
		}
	}
	for _, path := range shared {
		if err := r.show(path, path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// show makes a file or a folder of the machine outside visible at a path inside, where it can only be read.
func (r root) show(outside, inside string) error {
	if err := r.bind(outside, inside, 0); err != nil {
		return err
	}
	if err := unix.Mount("", r.at(inside), "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("make %s read-only: %w", inside, err)
	}
	return nil
}

// bind makes a file or a folder visible at a path inside.
func (r root) bind(outside, inside string, flags uintptr) error {
	info, err := os.Stat(outside)
	if err != nil {
		return fmt.Errorf("look at %s: %w", outside, err)
	}
	if info.IsDir() {
		err = os.MkdirAll(r.at(inside), 0o755)
	} else {
		err = r.write(inside, nil, 0o644)
	}
	if err != nil {
		return err
	}
	if err := unix.Mount(outside, r.at(inside), "", unix.MS_BIND|flags, ""); err != nil {
		return fmt.Errorf("show %s at %s: %w", outside, inside, err)
	}
	return nil
}

// kernel mounts what shows the kernel: this namespace's processes and links, and the control groups.
func (r root) kernel() error {
	if err := unix.Mount("proc", r.at("proc"), "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := unix.Mount("sysfs", r.at("sys"), "sysfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /sys: %w", err)
	}
	const groups = "/sys/fs/cgroup"
	if err := unix.Mount(groups, r.at(groups), "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("show the control groups: %w", err)
	}
	return nil
}

// devices makes /dev.
func (r root) devices() error {
	for _, name := range devices {
		if err := r.bind("/dev/"+name, "/dev/"+name, 0); err != nil {
			return err
		}
	}
	for _, folder := range []string{"dev/pts", "dev/shm"} {
		if err := os.Mkdir(r.at(folder), 0o755); err != nil {
			return fmt.Errorf("make the folder /%s: %w", folder, err)
		}
	}
	if err := unix.Mount("devpts", r.at("dev/pts"), "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620"); err != nil {
		return fmt.Errorf("mount /dev/pts: %w", err)
	}
	if err := unix.Mount("shm", r.at("dev/shm"), "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777"); err != nil {
		return fmt.Errorf("mount /dev/shm: %w", err)
	}
	for link, target := range map[string]string{
		"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
	} {
		if err := os.Symlink(target, r.at("dev/"+link)); err != nil {
			return fmt.Errorf("make the link /dev/%s: %w", link, err)
		}
	}
	return nil
}

// fill puts onto the disk what this machine alone has.
func (r root) fill(from boot) error {
	for path, kept := range from.KeptIn {
		if err := r.bind(kept, path, 0); err != nil {
			return err
		}
	}
	if err := r.write("/etc/hostname", []byte(from.Name+"\n"), 0o644); err != nil {
		return err
	}
	if err := r.write("/etc/hosts", []byte("127.0.0.1 localhost "+from.Name+"\n"), 0o644); err != nil {
		return err
	}
	if err := r.write("/etc/machine-id", []byte(from.ID+"\n"), 0o444); err != nil {
		return err
	}
	if err := r.write("/etc/resolv.conf", nil, 0o644); err != nil {
		return err
	}
	for path, content := range from.Files {
		if err := r.write(path, content, 0o600); err != nil {
			return err
		}
	}
	for inside, outside := range from.Programs {
		if err := r.show(outside, inside); err != nil {
			return err
		}
	}
	settings := map[string]string{"kernel/random/boot_id": from.bootID()}
	maps.Copy(settings, from.Settings)
	for name, value := range settings {
		kept := "/run/settings/" + strings.ReplaceAll(name, "/", ".")
		if err := r.write(kept, []byte(value+"\n"), 0o644); err != nil {
			return err
		}
		if err := unix.Mount(r.at(kept), r.at("proc/sys/"+name), "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("show a value of %s: %w", name, err)
		}
	}
	return nil
}

// bootID is the boot's id as the kernel writes it (random(4)).
func (b boot) bootID() string {
	id := b.BootID
	return strings.Join([]string{id[:8], id[8:12], id[12:16], id[16:20], id[20:]}, "-")
}

// write writes a file, and makes the folders that it is in.
func (r root) write(path string, content []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(r.at(path)), 0o755); err != nil {
		return fmt.Errorf("make the folder of %s: %w", path, err)
	}
	if err := os.WriteFile(r.at(path), content, mode); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// enter makes this root the one of all of the machine's processes; what was seen before is gone for them.
func (r root) enter() error {
	if err := unix.Chdir(string(r)); err != nil {
		return fmt.Errorf("go to the root: %w", err)
	}
	// With both names the same, the old root is mounted over the new one, and comes off (pivot_root(2)).
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("make it the root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("let go of the old root: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return fmt.Errorf("go to the root: %w", err)
	}
	// As on a booted machine, where what is mounted later is seen in containers that ask for that.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("share the mounts: %w", err)
	}
	return nil
}
