package vm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Durable is what a power cut would leave of a machine's disk at one instant. The guest waits while it is looked at.
type Durable struct {
	vm     *VM
	mirror string
}

// Files are those of some folders, by their paths, with kind, mode, and content or target: what a file system has that is mounted
// after the power cut. A folder need not be there.
func (d *Durable) Files(folders ...string) (map[string]string, error) {
	files, err := readAfterCut(d.vm.t.Context(), d.mirror, folders)
	if err != nil {
		return nil, fmt.Errorf("look at the disk of %s as a power cut would leave it: %w", d.vm.name, err)
	}
	return files, nil
}

// Fork makes another machine of it; see VM.Fork.
func (d *Durable) Fork(name string) (*VM, error) { return d.vm.fork(name) }

// Watch calls a function with each state of the disk that a power cut could leave from now on, before the guest goes on. What the
// guest has not flushed is lost, so that there are no others. The function may not use the guest, which may be waiting for the
// disk, but for sending signals to its programs. Watch is called once for a machine, and what it returns ends it: then no call
// is under way any more.
func (v *VM) Watch(see func(d *Durable)) (end func()) {
	v.t.Helper()
	for _, program := range []string{"e2fsck", "debugfs", "e2undo"} {
		if _, err := exec.LookPath(program); err != nil {
			v.t.Fatalf("this test needs %s, which is not in PATH: install the Debian package e2fsprogs", program)
		}
	}
	mirror := filepath.Join(v.t.TempDir(), "mirror")
	busy := make(chan struct{}, 1)
	err := v.disk.Watch(mirror, func() {
		busy <- struct{}{}
		defer func() { <-busy }()
		see(&Durable{vm: v, mirror: mirror})
	})
	if err != nil {
		v.t.Fatalf("watch the disk of %s: %v", v.name, err)
	}
	return func() {
		v.disk.Unwatch()
		busy <- struct{}{}
		<-busy
	}
}

// readAfterCut reads folders of an ext4 file system that nobody has put away, after playing its journal, as mounting does. Then it
// makes the image what it was.
func readAfterCut(ctx context.Context, image string, folders []string) (_ map[string]string, err error) {
	dir, err := os.MkdirTemp(filepath.Dir(image), "read-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for what is read: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	commands, tree, undo := "", filepath.Join(dir, "tree"), filepath.Join(dir, "undo")
	for _, folder := range folders {
		parent := filepath.Join(tree, filepath.Dir(folder))
		if err := os.MkdirAll(parent, 0o700); err != nil {
			return nil, fmt.Errorf("make a folder for what is read: %w", err)
		}
		commands += fmt.Sprintf("rdump %s %s\n", folder, parent)
	}
	// It exits with 1 when it has done something.
	var exit *exec.ExitError
	out, err := exec.CommandContext(ctx, "e2fsck", "-E", "journal_only", "-y", "-z", undo, image).CombinedOutput()
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() > 1) {
		return nil, fmt.Errorf("play a disk's journal: %w: %s", err, out)
	}
	read := exec.CommandContext(ctx, "debugfs", "-f", "-", image)
	read.Stdin = strings.NewReader(commands)
	if out, err := read.CombinedOutput(); err != nil || strings.Contains(string(out), "Filesystem not open") {
		return nil, fmt.Errorf("read a disk by debugfs: %w: %s", err, out)
	}
	if _, err := os.Stat(undo); err == nil {
		if out, err := exec.CommandContext(ctx, "e2undo", undo, image).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("undo the playing of a disk's journal: %w: %s", err, out)
		}
	}
	return filesIn(tree)
}

// filesIn are the files below a folder, as Durable has them.
func filesIn(tree string) (map[string]string, error) {
	files := map[string]string{}
	err := filepath.WalkDir(tree, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		text := ""
		switch {
		case info.Mode().IsRegular():
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text = string(data)
		case info.Mode().Type() == fs.ModeSymlink:
			if text, err = os.Readlink(path); err != nil {
				return err
			}
		}
		files["/"+strings.TrimPrefix(strings.TrimPrefix(path, tree), "/")] = info.Mode().String() + " " + text
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read what was read of a disk: %w", err)
	}
	return files, nil
}
