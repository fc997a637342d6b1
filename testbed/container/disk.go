package container

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"multinic.dev/testbed/waiting"
)

// makeDisk puts an empty layer in memory on top of a tree, which so stays what it is. The layer ends with the test.
func (c *Container) makeDisk(tree string) {
	c.t.Helper()
	folder, err := os.MkdirTemp("", "container-")
	if err != nil {
		c.t.Fatalf("make a folder for the container's disk: %v", err)
	}
	c.folder = folder
	c.t.Cleanup(func() {
		if err := os.RemoveAll(folder); err != nil {
			c.t.Fatalf("remove the container's disk: %v", err)
		}
	})
	c.mount("tmpfs", folder, "mode=0755")
	upper, work := filepath.Join(folder, "upper"), filepath.Join(folder, "work")
	if err := errors.Join(os.Mkdir(upper, 0o755), os.Mkdir(work, 0o755), os.Mkdir(c.Root(), 0o755)); err != nil {
		c.t.Fatalf("make the container's disk: %v", err)
	}
	c.mount("overlay", c.Root(), fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", tree, upper, work))
}

func (c *Container) mount(kind, folder, options string) {
	c.t.Helper()
	if err := unix.Mount(kind, folder, kind, 0, options); err != nil {
		c.t.Fatalf("mount the container's disk (%s): %v", kind, err)
	}
	c.t.Cleanup(func() {
		if err := unix.Unmount(folder, 0); err != nil {
			c.t.Fatalf("unmount the container's disk (%s): %v", kind, err)
		}
	})
}

// LeaveRoom makes the container's disk so full that it has room for no more than so many pages of data; more than it has are not
// made. Folders and links need none.
func (c *Container) LeaveRoom(pages int) {
	c.t.Helper()
	var disk unix.Statfs_t
	if err := unix.Statfs(c.folder, &disk); err != nil {
		c.t.Fatalf("ask how full the container's disk is: %v", err)
	}
	room := disk.Blocks - disk.Bfree + uint64(pages)
	c.resize(fmt.Sprintf("size=%d", room*uint64(disk.Bsize)))
}

// MakeRoom takes the end of room on the container's disk away.
func (c *Container) MakeRoom() {
	c.t.Helper()
	c.resize("size=50%")
}

func (c *Container) resize(option string) {
	c.t.Helper()
	if err := unix.Mount("tmpfs", c.folder, "tmpfs", unix.MS_REMOUNT, option); err != nil {
		c.t.Fatalf("resize the container's disk (%s): %v", option, err)
	}
}

// Save copies files and folders of the container's, such as /etc, into a folder of the machine, which is made, or
// emptied first. What is not there is saved as not being there.
func (c *Container) Save(into string, paths ...string) {
	c.t.Helper()
	if err := errors.Join(os.RemoveAll(into), os.MkdirAll(into, 0o755)); err != nil {
		c.t.Fatalf("make the folder to save in: %v", err)
	}
	ctx, cancel := waiting.For(c.t, patience, waiting.ToSay)
	defer cancel()
	for _, path := range paths {
		if err := replace(ctx, c.Path(path), filepath.Join(into, path)); err != nil {
			c.t.Fatalf("save %s: %v", path, err)
		}
	}
}

// Restore makes files and folders of the container's what they were when Save copied them. The container must not run:
// it would not take part in what happens behind its back.
func (c *Container) Restore(from string, paths ...string) {
	c.t.Helper()
	if c.machine() != nil {
		c.t.Fatalf("the container %s runs: switch it off before its disk is changed", c.Name())
	}
	ctx, cancel := waiting.For(c.t, patience, waiting.ToSay)
	defer cancel()
	for _, path := range paths {
		if err := replace(ctx, filepath.Join(from, path), c.Path(path)); err != nil {
			c.t.Fatalf("restore %s: %v", path, err)
		}
	}
}

// replace makes to a copy of from, with all that files have, or nothing, if there is no from.
func replace(ctx context.Context, from, to string) error {
	if err := errors.Join(os.RemoveAll(to), os.MkdirAll(filepath.Dir(to), 0o755)); err != nil {
		return err
	}
	if _, err := os.Lstat(from); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if out, err := exec.CommandContext(ctx, "cp", "--archive", from, to).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// Files lists all that there is at and below paths of the container's, a line each, with kind and mode, owner, and a hash
// of the content or the target of the link: two states are the same if, and only if, their lists are.
func (c *Container) Files(paths ...string) string {
	c.t.Helper()
	var list strings.Builder
	for _, path := range paths {
		err := filepath.WalkDir(c.Path(path), func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			line, err := describe(path, entry)
			fmt.Fprintf(&list, "%s %s\n", strings.TrimPrefix(path, c.Root()), line)
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			c.t.Fatalf("list the files of %s: %v", path, err)
		}
	}
	return list.String()
}

func describe(path string, entry fs.DirEntry) (string, error) {
	info, err := entry.Info()
	if err != nil {
		return "", err
	}
	line := info.Mode().String()
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		line += fmt.Sprintf(" %d:%d", stat.Uid, stat.Gid)
	}
	switch {
	case info.Mode().IsRegular():
		file, err := os.Open(path)
		if err != nil {
			return "", err
		}
		hash := sha256.New()
		_, err = io.Copy(hash, file)
		return fmt.Sprintf("%s %x", line, hash.Sum(nil)), errors.Join(err, file.Close())
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(path)
		return line + " to " + target, err
	default:
		return line, nil
	}
}
