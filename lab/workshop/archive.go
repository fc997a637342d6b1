package workshop

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// archive is a tar file that is being written.
type archive struct {
	file *os.File
	tar  *tar.Writer
}

func createArchive(path string) (archive, error) {
	file, err := os.Create(path)
	if err != nil {
		return archive{}, fmt.Errorf("make the base image's files: %w", err)
	}

	return archive{file: file, tar: tar.NewWriter(file)}, nil
}

func (a archive) close() error { return errors.Join(a.tar.Close(), a.file.Close()) }

// add writes a file, or a folder with all that is in it but what leave says, under another name.
func (a archive) add(from, to string, leave func(path string, entry fs.DirEntry) bool) error {
	err := filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case leave != nil && leave(path, entry) && entry.IsDir():
			return filepath.SkipDir
		case leave != nil && leave(path, entry):
			return nil
		}
		below, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}

		return a.one(path, filepath.Join(to, below), entry)
	})
	if err != nil {
		return fmt.Errorf("add %s to the base image: %w", from, err)
	}

	return nil
}

func (a archive) one(path, name string, entry fs.DirEntry) error {
	switch {
	case entry.IsDir():
		return a.folder(name, 0o755)
	case !entry.Type().IsRegular():
		return nil // Go's folder has none; caches have none that are needed.
	}
	info, err := entry.Info()
	if err != nil {
		return err
	}
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: int64(info.Mode().Perm()), Size: info.Size(), ModTime: info.ModTime()}
	if err := a.tar.WriteHeader(header); err != nil {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(a.tar, file)

	return errors.Join(err, file.Close())
}

func (a archive) folder(name string, mode int64) error {
	return a.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode})
}

func (a archive) link(name, target string) error {
	return a.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777})
}
