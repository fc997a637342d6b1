package kube

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"multinic.dev/lab/kube/image"
)

// Image is the name of the lab's image, which each node has. A container of it stays until it is ended; with the command
// `tail FILE` it prints a file and ends.
const Image = "multinic.dev/lab/pause:1"

// imageEnv tells the suite where the image's archive is.
const imageEnv = "MULTINIC_KUBE_IMAGE"

// pausePackage is the program in it.
const pausePackage = "multinic.dev/lab/kube/pause"

// pauseImage is a fixture for the suite: it makes the image.
func pauseImage() (end func() error, err error) {
	folder, err := os.MkdirTemp("", "image-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the image: %w", err)
	}
	end = func() error { return os.RemoveAll(folder) }
	archive, err := buildImage(folder)
	if err == nil {
		err = os.Setenv(imageEnv, archive)
	}
	if err != nil {
		return nil, errors.Join(err, end())
	}
	return end, nil
}

func buildImage(folder string) (archive string, err error) {
	program := filepath.Join(folder, "pause")
	cmd := exec.CommandContext(context.Background(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", program, pausePackage)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the image's program: %w: %s", err, out)
	}
	text, err := os.ReadFile(program)
	if err != nil {
		return "", fmt.Errorf("read the image's program: %w", err)
	}
	archive = filepath.Join(folder, "image.tar")
	file, err := os.Create(archive)
	if err != nil {
		return "", fmt.Errorf("make the image's archive: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return archive, image.Write(file, image.Image{
		Name: Image, Programs: map[string][]byte{"bin/pause": text, "bin/tail": text}, Entrypoint: []string{"/bin/pause"},
	})
}

// image is the path of the image's archive.
func (c *Cluster) image() string {
	c.t.Helper()
	path, ok := os.LookupEnv(imageEnv)
	if !ok {
		c.t.Fatalf("nobody has made the nodes' image: the suite's TestMain must call kube.Main")
	}
	return path
}
