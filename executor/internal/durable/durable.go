// Package durable changes files so that a crash or a power cut at any moment leaves the old content or the new one, whole.
package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// The modes of what is written: for the owner alone, for everybody, and of folders for everybody.
const (
	onlyOwners     = 0o600
	everybodysFile = 0o644
	everybody      = 0o755
)

// Write puts data in the place of a file's content, readable by its owner alone. When it returns nil, the new content
// survives a power cut; when it returns an error, the old content stands, or the new one does but may not survive.
func Write(path string, data []byte) error {
	// The file is synced before it is renamed; the rename itself is safe once the directory is synced.
	if err := renameio.WriteFile(path, data, onlyOwners, renameio.WithTempDir(filepath.Dir(path))); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return sync(filepath.Dir(path))
}

// WriteAs is Write with given permissions.
func WriteAs(path string, data []byte, mode os.FileMode) error {
	if err := renameio.WriteFile(path, data, mode, renameio.WithTempDir(filepath.Dir(path)), renameio.WithStaticPermissions(mode)); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return sync(filepath.Dir(path))
}

// Remove removes a file. One that is not there is removed already.
func Remove(path string) error {
	err := os.Remove(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the file: %w", err)
	}
	err = sync(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // Nor is its folder.
	}
	return err
}

func sync(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync the directory: %w", err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fmt.Errorf("sync the directory: %w", err)
	}
	return nil
}

// Folder makes a folder that everybody may read, with those above it, if it is not there.
func Folder(path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil
	}
	if err := Folder(filepath.Dir(path)); err != nil {
		return err
	}
	if err := os.Mkdir(path, everybody); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make a folder: %w", err)
	}
	return sync(filepath.Dir(path))
}

// Tree makes a new folder in dir, with files by their paths in it, and returns its name, which begins with a prefix. Files whose
// names end in .yaml are readable by their owner alone, the others by everybody. When it returns nil, the folder survives a power
// cut; nobody knows of it before.
func Tree(dir, prefix string, files map[string]string) (string, error) {
	path, err := os.MkdirTemp(dir, prefix+"*")
	if err != nil {
		return "", fmt.Errorf("make a folder: %w", err)
	}
	if err := fill(path, files); err != nil {
		return "", errors.Join(err, os.RemoveAll(path))
	}
	return filepath.Base(path), sync(dir)
}

func fill(path string, files map[string]string) error {
	if err := os.Chmod(path, everybody); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	for name, text := range files {
		file := filepath.Join(path, name)
		if err := Folder(filepath.Dir(file)); err != nil {
			return err
		}
		mode := os.FileMode(everybodysFile)
		if filepath.Ext(name) == ".yaml" {
			mode = onlyOwners
		}
		if err := renameio.WriteFile(file, []byte(text), mode, renameio.WithTempDir(filepath.Dir(file)), renameio.WithStaticPermissions(mode)); err != nil {
			return fmt.Errorf("write %s: %w", file, err)
		}
		if err := sync(filepath.Dir(file)); err != nil {
			return err
		}
	}
	return sync(path)
}

// Link makes a symbolic link, in the place of one that is there. When it returns nil, the link survives a power cut.
func Link(target, path string) error {
	if is, err := os.Readlink(path); err == nil && is == target {
		return nil
	}
	if err := renameio.Symlink(target, path); err != nil {
		return fmt.Errorf("link %s: %w", path, err)
	}
	return sync(filepath.Dir(path))
}

// Rename gives a file or folder another name in its folder. When it returns nil, the name survives a power cut.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return fmt.Errorf("rename: %w", err)
	}
	return sync(filepath.Dir(to))
}

// WriteShared puts data in the place of a file's content, readable by everybody: to give it to a group that the writer is not in takes
// a capability. It need not survive a power cut.
func WriteShared(path string, data []byte) error {
	pending, err := renameio.NewPendingFile(path, renameio.WithTempDir(filepath.Dir(path)), renameio.WithStaticPermissions(everybodysFile))
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() { _ = pending.Cleanup() }() // After it has taken its place there is nothing left to clean up.
	_, written := pending.Write(data)
	if err := errors.Join(written, pending.CloseAtomicallyReplace()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
