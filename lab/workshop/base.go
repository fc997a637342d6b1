package workshop

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"multinic.dev/testbed/debian"
)

// BaseImage is the image that has Go, from which the repository's Dockerfiles build if nothing else is said.
const BaseImage = "golang:1.26"

// Arches are the machines for which images are built, as Go names them.
func Arches() []string { return []string{"amd64", "arm64"} }

// dockerfile is the base image's. It sets what golang's own sets, and that modules come from the image itself.
const dockerfile = `FROM scratch
ADD files.tar /
ENV PATH=/go/bin:/usr/local/go/bin:/bin GOPATH=/go GOTOOLCHAIN=local HOME=/root
ENV GOPROXY=file:///go/pkg/mod/cache/download GOSUMDB=off
`

// goParts are the parts of Go's folder that a build without C needs.
func goParts() []string {
	return []string{"VERSION", "go.env", "bin/go", "pkg/include", "pkg/tool", "src"}
}

// BuildBase makes the base image with a builder: no registry is asked.
func (w *Workshop) BuildBase(environment []string, builder string) {
	w.t.Helper()
	w.MustRun(environment, builder, "build", "--tag", BaseImage, baseContext)
}

// base is a folder with the base image's Dockerfile and the files that it adds: a shell, Go, the modules that builds need, and what Go's
// cache has once all but the modules' own packages are compiled. It is made now if none is kept that is made of the same.
func base(ctx context.Context, s stock, modules []string) (string, error) {
	version, err := os.ReadFile(filepath.Join(s.GoRoot, "VERSION"))
	if err != nil {
		return "", fmt.Errorf("find out which Go this is: %w", err)
	}
	recipe := []string{fmt.Sprintf("%s%s%q%q%s", version, dockerfile, goParts(), Arches(), applets)}
	for _, module := range modules {
		for _, name := range []string{"go.mod", "go.sum"} {
			text, err := os.ReadFile(filepath.Join(module, name))
			if err != nil {
				return "", fmt.Errorf("find out what a module requires: %w", err)
			}
			recipe = append(recipe, module, string(text))
		}
	}

	key := sha256.Sum256([]byte(strings.Join(recipe, "")))

	return debian.Kept(ctx, fmt.Sprintf("golang-%x", key[:8]), func(ctx context.Context, building string) error {
		return makeBase(ctx, building, s, modules)
	})
}

func makeBase(ctx context.Context, building string, s stock, modules []string) error {
	if err := os.Mkdir(building, 0o700); err != nil {
		return fmt.Errorf("make a folder for the base image: %w", err)
	}
	// What was compiled for an earlier base image need not be compiled anew for this one; Go forgets by itself what it has long not used.
	kept, err := debian.Kept(ctx, "golang-cache", func(_ context.Context, building string) error { return os.Mkdir(building, 0o700) })
	if err != nil {
		return fmt.Errorf("make a folder for what is compiled: %w", err)
	}
	downloaded, compiled := filepath.Join(kept, "mod"), filepath.Join(kept, "build")
	for _, arch := range Arches() {
		for _, module := range modules {
			if err := compile(ctx, module, arch, downloaded, compiled); err != nil {
				return err
			}
		}
	}

	return errors.Join(
		makeFiles(filepath.Join(building, "files.tar"), s, downloaded, compiled),
		os.WriteFile(filepath.Join(building, "Dockerfile"), []byte(dockerfile), 0o600),
	)
}

// applets are the commands that the base image has beside Go.
const applets = "sh touch mkdir ls cat env"

func makeFiles(file string, s stock, downloaded, compiled string) (err error) {
	t, err := createArchive(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	if err := t.add(filepath.Join(s.Tree, "usr/bin/busybox"), "bin/busybox", nil); err != nil {
		return err
	}
	for applet := range strings.FieldsSeq(applets) {
		if err := t.link("bin/"+applet, "busybox"); err != nil {
			return err
		}
	}
	for _, part := range goParts() {
		if err := t.add(filepath.Join(s.GoRoot, part), filepath.Join("usr/local/go", part), unneeded); err != nil {
			return err
		}
	}
	if err := t.folder("tmp", 0o1777); err != nil {
		return err
	}

	return errors.Join(
		t.add(filepath.Join(downloaded, "cache/download"), "go/pkg/mod/cache/download", nil),
		t.add(compiled, "root/.cache/go-build", nil),
	)
}

// unneeded says of Go's files which no build needs: its tests, and its own commands' source.
func unneeded(path string, entry fs.DirEntry) bool {
	return entry.IsDir() && (entry.Name() == "testdata" || strings.HasSuffix(path, "/src/cmd")) || strings.HasSuffix(path, "_test.go")
}
