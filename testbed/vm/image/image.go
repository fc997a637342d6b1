// Package image makes of a root tree of Debian what a virtual machine boots from: a kernel, an initrd and a disk.
package image

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// The files of an image, in its folder.
const (
	Kernel = "kernel" // uncompressed
	Initrd = "initrd" // the agent, and the modules that the disk needs
	Disk   = "disk"   // a file system of ext4, in which zeros take no room
	// Debian is the initrd that Debian itself has made for its kernel.
	Debian = "initrd-debian"
)

// diskSize is what the guest has, which takes only what is used of it.
const diskSize = "2G"

// Make makes an image in a folder, which must be there, of a tree that has a kernel's package.
func Make(ctx context.Context, tree, agent, folder string) error {
	kernel, err := one(filepath.Join(tree, "boot/vmlinuz-*"))
	if err != nil {
		return err
	}
	if err := unpackKernel(ctx, kernel, filepath.Join(folder, Kernel)); err != nil {
		return err
	}
	if err := makeInitrd(ctx, tree, agent, filepath.Join(folder, Initrd)); err != nil {
		return err
	}
	debian, err := one(filepath.Join(tree, "boot/initrd.img-*"))
	if err != nil {
		return err
	}
	text, err := os.ReadFile(debian)
	if err != nil {
		return fmt.Errorf("read Debian's initrd: %w", err)
	}
	if err := os.WriteFile(filepath.Join(folder, Debian), text, 0o600); err != nil {
		return fmt.Errorf("copy Debian's initrd: %w", err)
	}
	cmd := exec.CommandContext(ctx, "mke2fs", "-q", "-t", "ext4", "-b", "4096", "-m", "0", "-L", "root",
		// All is written now, and nothing by the kernel in the background of a test.
		"-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard", "-d", tree, filepath.Join(folder, Disk), diskSize)
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make a file system of the tree with mke2fs (Debian package e2fsprogs): %w: %s", err, out)
	}
	return nil
}

// Recipe is all that images are made of besides the tree and the agent.
func Recipe() string { return fmt.Sprint(needed(), diskSize, " 2") }
