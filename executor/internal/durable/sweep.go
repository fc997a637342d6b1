package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Sweep removes from a folder what a process has left that was killed while it wrote: the new content, or the new link in a folder of its
// own, under the file's name after a dot and before a number. IsOurs says of which files it goes; what others have left stays, whatever
// it is called, and so does what cannot have been left so. Nobody may be writing the files meanwhile. Before is told of each that goes.
func Sweep(dir string, isOurs func(name string) bool, before func(name string)) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for what was left half written: %w", err)
	}
	var failed error
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		if !isHalfOf(entry.Name(), isOurs) || !isHalf(path, entry) {
			continue
		}
		before(entry.Name())
		failed = errors.Join(failed, os.RemoveAll(path))
	}
	if failed != nil {
		return fmt.Errorf("remove what was left half written: %w", failed)
	}
	return nil
}

// isHalfOf says whether a name is that of what is to become one of some files. Their own names may end in digits as well.
func isHalfOf(name string, isOurs func(name string) bool) bool {
	rest, isHidden := strings.CutPrefix(name, ".")
	for end := len(rest); isHidden && end > 0 && rest[end-1] >= '0' && rest[end-1] <= '9'; end-- {
		if isOurs(rest[:end-1]) {
			return true
		}
	}
	return false
}

// isHalf says whether something is what a killed process can have left: a file, or a folder that has nothing but a link.
func isHalf(path string, entry fs.DirEntry) bool {
	if entry.Type().IsRegular() {
		return true
	}
	if !entry.IsDir() {
		return false
	}
	inside, err := os.ReadDir(path)
	return err == nil && (len(inside) == 0 || len(inside) == 1 && inside[0].Type() == fs.ModeSymlink)
}
