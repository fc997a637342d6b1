package workshop

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// goRootOf is the folder of the machine's Go.
func goRootOf(ctx context.Context) (string, error) {
	return goCommand(ctx, ".", nil, "env", "GOROOT")
}

// compile downloads the modules that a module's program needs on a machine, and compiles all of its packages that are not this
// repository's own, exactly as the image's build would.
func compile(ctx context.Context, module, arch, downloaded, compiled string) error {
	// What this machine has already is taken from there.
	near, err := goCommand(ctx, module, nil, "env", "GOMODCACHE")
	if err != nil {
		return err
	}
	proxy, err := goCommand(ctx, module, nil, "env", "GOPROXY")
	if err != nil {
		return err
	}
	environment := []string{
		"GOWORK=off", "GOFLAGS=-modcacherw", "GOPROXY=file://" + near + "/cache/download," + proxy,
		"GOMODCACHE=" + downloaded, "GOCACHE=" + compiled, "GOOS=linux", "GOARCH=" + arch, "CGO_ENABLED=0",
	}
	list, err := goCommand(ctx, module, environment, "list", "-deps", ".")
	if err != nil {
		return err
	}
	packages := slices.DeleteFunc(strings.Fields(list), func(path string) bool { return strings.HasPrefix(path, "multinic.dev/") })
	_, err = goCommand(ctx, module, environment, append([]string{"build", "-trimpath", "-buildvcs=false"}, packages...)...)

	return err
}

// goCommand runs go in a folder, and returns what it printed.
func goCommand(ctx context.Context, folder string, environment []string, arguments ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", arguments...)
	cmd.Dir, cmd.Env = folder, append(os.Environ(), environment...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	output, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s in %s: %w: %s", arguments[0], folder, err, complaint.String())
	}

	return strings.TrimSpace(string(output)), nil
}
