package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"multinic.dev/testbed/vm/order"
)

// write replaces a file by what is sent, and makes that durable: it is as if it had always been there.
func write(o *order.Order, from io.Reader) error {
	folder := filepath.Dir(o.Path)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("make its folder: %w", err)
	}
	fresh := o.Path + ".new"
	file, err := os.OpenFile(fresh, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("make it: %w", err)
	}
	_, err = io.Copy(file, from)
	if err := errors.Join(err, file.Chmod(os.FileMode(o.Mode)), file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("write it: %w", err)
	}
	if err := os.Rename(fresh, o.Path); err != nil {
		return fmt.Errorf("put it in its place: %w", err)
	}
	return syncAll(folder)
}

// syncAll makes durable all of the file system that a folder is in, the folders that were just made among it.
func syncAll(folder string) error {
	file, err := os.Open(folder)
	if err != nil {
		return fmt.Errorf("open its folder: %w", err)
	}
	if err := errors.Join(unix.Syncfs(int(file.Fd())), file.Close()); err != nil {
		return fmt.Errorf("sync its file system: %w", err)
	}
	return nil
}

// identify gives the guest what no other that began as the same has: its time, its chance, its names.
func identify(o *order.Order) error {
	now := unix.NsecToTimeval(o.Clock)
	if err := unix.Settimeofday(&now); err != nil {
		return fmt.Errorf("set the clock: %w", err)
	}
	if err := stir(o.Seed); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte(o.Host)); err != nil {
		return fmt.Errorf("set the host name: %w", err)
	}
	before, err := os.ReadFile("/etc/machine-id")
	if err != nil {
		return fmt.Errorf("read the machine's id: %w", err)
	}
	// The journal looks for itself under the id.
	journal := "/run/log/journal/"
	if err := os.Rename(journal+strings.TrimSpace(string(before)), journal+o.ID); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("give the journal the machine's new id: %w", err)
	}
	return errors.Join(
		write(&order.Order{Path: "/etc/hostname", Mode: 0o644}, strings.NewReader(o.Host+"\n")),
		write(&order.Order{Path: "/etc/machine-id", Mode: 0o444}, strings.NewReader(o.ID+"\n")),
	)
}

// stir has the kernel make its chance of a seed: it would be the same in all machines that began as the same.
func stir(seed []byte) (err error) {
	file, err := os.OpenFile("/dev/urandom", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("open the kernel's source of chance: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	// struct rand_pool_info, see random(4).
	info := struct {
		bits, size int32
		seed       [64]byte
	}{bits: 8 * 64, size: 64}
	copy(info.seed[:], seed)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, file.Fd(), unix.RNDADDENTROPY, uintptr(unsafe.Pointer(&info))); errno != 0 {
		return fmt.Errorf("stir the kernel's source of chance: %w", errno)
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, file.Fd(), rndReseed, 0); errno != 0 {
		return fmt.Errorf("have the kernel use it: %w", errno)
	}
	return nil
}

// rndReseed is RNDRESEEDCRNG of linux/random.h.
const rndReseed = 0x5207
