// Package built has Kubernetes' own programs, built from their modules once and kept for every later suite.
//
// They are one file, which is compiled outside of the sandbox, where the modules can be fetched, in ten minutes or more; it
// lives beside the tools in the user's cache, keyed by all that it is made of.
package built

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"multinic.dev/testbed/debian"
)

// Component is one of Kubernetes' programs.
type Component string

// The components that clusters of the lab run.
const (
	APIServer         Component = "kube-apiserver"
	ControllerManager Component = "kube-controller-manager"
	Scheduler         Component = "kube-scheduler"
	Kubelet           Component = "kubelet"
)

// pathEnv tells the suite in the sandbox where the file is.
const pathEnv = "MULTINIC_KUBE_COMPONENTS"

// recipe is how it is built: needing nothing of the machine that it runs on, and without what debuggers want, which is
// half of it.
func recipe(version string) []string {
	return []string{
		"build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w" +
			" -X k8s.io/component-base/version.gitVersion=" + version +
			" -X k8s.io/client-go/pkg/version.gitVersion=" + version,
	}
}

// Components is a fixture for sandbox.MainWith, outside: it builds the components if they are not there.
func Components() (end func() error, err error) {
	path, err := build(context.Background())
	if err != nil {
		return nil, err
	}
	return func() error { return nil }, os.Setenv(pathEnv, path)
}

// Path is the file of all components. Its first argument is the component's name.
func Path() (string, error) {
	path, ok := os.LookupEnv(pathEnv)
	if !ok {
		return "", errors.New("nobody has built Kubernetes' components: the suite's TestMain must call kube.Main")
	}
	return path, nil
}

func build(ctx context.Context) (string, error) {
	module, err := folder(ctx)
	if err != nil {
		return "", err
	}
	sources := filepath.Join(module, "components")
	version, err := ask(ctx, sources, "list", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes")
	if err != nil {
		return "", err
	}
	key, err := key(ctx, sources, recipe(version))
	if err != nil {
		return "", err
	}
	return debian.Kept(ctx, "kubernetes-"+version+"-"+key, func(ctx context.Context, building string) error {
		fmt.Fprintf(os.Stderr, "building Kubernetes %s, which takes ten minutes or more, once\n", version)
		_, err := ask(ctx, sources, append(recipe(version), "-o", building, ".")...)
		return err
	})
}

// folder is that of the module whose suite this is.
func folder(ctx context.Context) (string, error) {
	file, err := ask(ctx, ".", "env", "GOMOD")
	return filepath.Dir(file), err
}

// key is a hash of the sources, the modules, the toolchain and the recipe.
func key(ctx context.Context, sources string, recipe []string) (string, error) {
	toolchain, err := ask(ctx, sources, "env", "GOVERSION", "GOOS", "GOARCH")
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	_, _ = fmt.Fprintf(hash, "%q %q", toolchain, recipe)
	for _, name := range []string{"main.go", "go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(sources, name))
		if err != nil {
			return "", fmt.Errorf("read what Kubernetes is built from: %w", err)
		}
		_, _ = fmt.Fprintf(hash, " %q", text)
	}
	return fmt.Sprintf("%x", hash.Sum(nil)[:8]), nil
}

// ask runs the Go command in a folder, without the workspace, of which neither module is a part.
func ask(ctx context.Context, folder string, arguments ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", arguments...)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w: %s", arguments[0], err, strings.TrimSpace(said.String()))
	}
	return strings.TrimSpace(string(out)), nil
}
