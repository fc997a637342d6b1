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

// onlyOwners is the mode of what is written.
const onlyOwners = 0o600

// Write puts data in the place of a file's content, readable by its owner alone. When it returns nil, the new content
// survives a power cut; when it returns an error, the old content stands, or the new one does but may not survive.
func Write(path string, data []byte) error {
	// The file is synced before it is renamed; the rename itself is safe once the directory is synced.
	if err := renameio.WriteFile(path, data, onlyOwners, renameio.WithTempDir(filepath.Dir(path))); err != nil {
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
	return sync(filepath.Dir(path))
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
