// Package images reads images as `docker save` writes them.
package images

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Image is an image as its archive has it.
type Image struct {
	// ID is the hash of its configuration, in which the hashes of its layers are; docker and podman know it by that.
	ID string
	// Config is its configuration.
	Config Config
	// Files are all files and folders of all layers, in their order.
	Files []File
}

// Config is what an image's configuration says (OCI image-spec, config.md).
type Config struct {
	Architecture string    `json:"architecture"`
	OS           string    `json:"os"`
	Created      time.Time `json:"created"`
	Config       struct {
		User       string            `json:"User"`
		Entrypoint []string          `json:"Entrypoint"`
		Cmd        []string          `json:"Cmd"`
		Env        []string          `json:"Env"`
		Labels     map[string]string `json:"Labels"`
	} `json:"config"`
}

// File is a file, or a folder, of an image.
type File struct {
	Name      string
	Mode      int64
	UID, GID  int
	Changed   time.Time
	Content   []byte
	IsRegular bool
}

// Read reads the only image of an archive.
func Read(path string) (Image, error) {
	parts, err := unpack(path)
	if err != nil {
		return Image{}, fmt.Errorf("read the image archive %s: %w", path, err)
	}
	var manifest []struct {
		Config string   `json:"Config"`
		Layers []string `json:"Layers"`
	}
	if err := json.Unmarshal(parts["manifest.json"], &manifest); err != nil {
		return Image{}, fmt.Errorf("read the manifest of %s: %w", path, err)
	}
	if len(manifest) != 1 {
		return Image{}, fmt.Errorf("%s has %d images, and should have one", path, len(manifest))
	}
	text := parts[manifest[0].Config]
	image := Image{ID: fmt.Sprintf("%x", sha256.Sum256(text))}
	if err := json.Unmarshal(text, &image.Config); err != nil {
		return Image{}, fmt.Errorf("read the configuration of %s: %w", path, err)
	}
	for _, layer := range manifest[0].Layers {
		files, err := list(bytes.NewReader(parts[layer]))
		if err != nil {
			return Image{}, fmt.Errorf("read a layer of %s: %w", path, err)
		}
		image.Files = append(image.Files, files...)
	}

	return image, nil
}

// unpack reads all files of a tar file.
func unpack(path string) (parts map[string][]byte, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	files, err := list(file)
	if err != nil {
		return nil, err
	}
	parts = map[string][]byte{}
	for _, one := range files {
		parts[one.Name] = one.Content
	}

	return parts, nil
}

func list(from io.Reader) ([]File, error) {
	var files []File
	for reader := tar.NewReader(from); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			return nil, err
		}
		files = append(files, File{
			Name: header.Name, Mode: header.Mode, UID: header.Uid, GID: header.Gid, Changed: header.ModTime, Content: content,
			IsRegular: header.Typeflag == tar.TypeReg,
		})
	}
}
