package install_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"multinic.dev/lab/kube/image"
)

const (
	// registry stands before the images' names. There is none: nodes are given the images.
	registry = "multinic.dev/lab"
	// first and second are the tags of two versions, which differ in what they say of themselves alone.
	first, second = "1", "2"
	// archivesEnv has the folder of the images' archives.
	archivesEnv = "MULTINIC_KUBE_ARCHIVES"
)

// tiers are the two programs, with the user as which each runs by its Dockerfile. How those build images is tested with what builds them
// (lab/images).
func tiers() map[string]string {
	return map[string]string{"dispatcher": "65532:65532", "executor": "0:0"}
}

// images is a fixture: it makes the images of both versions.
func images() (end func() error, err error) {
	folder, err := os.MkdirTemp("", "images-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the images: %w", err)
	}
	end = func() error { return os.RemoveAll(folder) }
	for tier, user := range tiers() {
		for _, tag := range []string{first, second} {
			err = errors.Join(err, makeImage(folder, tier, tag, user))
		}
	}
	if err = errors.Join(err, os.Setenv(archivesEnv, folder)); err != nil {
		return nil, errors.Join(err, end())
	}
	return end, nil
}

// archives are those of the images of both versions.
func archives() ([]string, error) {
	return filepath.Glob(filepath.Join(os.Getenv(archivesEnv), "*.tar"))
}

func makeImage(folder, tier, tag, user string) (err error) {
	name := "multinic-" + tier
	program := filepath.Join(folder, name)
	build := exec.CommandContext(context.Background(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -X main.version="+tag, "-o", program, ".")
	build.Dir, build.Env = filepath.Join("..", "..", "..", tier), append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if said, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the %s: %w: %s", tier, err, strings.TrimSpace(string(said)))
	}
	text, err := os.ReadFile(program)
	if err != nil {
		return fmt.Errorf("read the %s: %w", tier, err)
	}
	file, err := os.Create(filepath.Join(folder, name+"-"+tag+".tar"))
	if err != nil {
		return fmt.Errorf("make an image's archive: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return image.Write(file, image.Image{
		Name: registry + "/" + name + ":" + tag, Programs: map[string][]byte{name: text}, Entrypoint: []string{"/" + name}, User: user,
	})
}
