// Package built has Kubernetes' own programs, built from their modules once and kept for every later suite.
//
// They are one file, and CoreDNS is another. Each is compiled outside of the sandbox, where the modules can be fetched, the first in
// ten minutes or more; it lives beside the tools in the user's cache, keyed by all that it is made of.
package built

import (
	"context"
	"crypto/sha256"
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
	Proxy             Component = "kube-proxy"
)

// file is one that is built, from a module of its own below this suite's.
type file struct {
	title, folder string
	module        string   // whose version it has
	versions      []string // the variables that say which version it is
	takes         string   // how long it takes to build
	env           string   // tells the suite in the sandbox where it is
}

// components is that of Kubernetes' own programs.
func components() file {
	return file{
		title: "kubernetes", folder: "components", module: "k8s.io/kubernetes", takes: "ten minutes or more", env: "MULTINIC_KUBE_COMPONENTS",
		versions: []string{"k8s.io/component-base/version.gitVersion", "k8s.io/client-go/pkg/version.gitVersion"},
	}
}

// names is that of CoreDNS.
func names() file {
	return file{title: "coredns", folder: "names", module: "github.com/coredns/coredns", takes: "two minutes", env: "MULTINIC_KUBE_NAMES"}
}

// recipe is how it is built: needing nothing of the machine that it runs on, and without what debuggers want, which is
// half of it.
func (f file) recipe(version string) []string {
	flags := []string{"-ldflags=-s", "-w"}
	for _, variable := range f.versions {
		flags = append(flags, "-X", variable+"="+version)
	}
	return []string{"build", "-trimpath", "-buildvcs=false", strings.Join(flags, " ")}
}

// Programs is a fixture for sandbox.MainWith, outside: it builds the files if they are not there.
func Programs() (end func() error, err error) {
	for _, f := range []file{components(), names()} {
		path, err := f.build(context.Background())
		if err != nil {
			return nil, err
		}
		if err := os.Setenv(f.env, path); err != nil {
			return nil, fmt.Errorf("say where %s is: %w", f.title, err)
		}
	}
	return func() error { return nil }, nil
}

// Path is the file of all components. Its first argument is the component's name.
func Path() (string, error) { return components().path() }

// Names is the file of CoreDNS.
func Names() (string, error) { return names().path() }

func (f file) path() (string, error) {
	path, ok := os.LookupEnv(f.env)
	if !ok {
		return "", fmt.Errorf("nobody has built %s: the suite's TestMain must call kube.Main", f.title)
	}
	return path, nil
}

func (f file) build(ctx context.Context) (string, error) {
	module, err := folder(ctx)
	if err != nil {
		return "", err
	}
	sources := filepath.Join(module, f.folder)
	version, err := ask(ctx, sources, "list", "-m", "-f", "{{.Version}}", f.module)
	if err != nil {
		return "", err
	}
	key, err := key(ctx, sources, f.recipe(version))
	if err != nil {
		return "", err
	}
	return debian.Kept(ctx, f.title+"-"+version+"-"+key, func(ctx context.Context, building string) error {
		fmt.Fprintf(os.Stderr, "building %s %s, which takes %s, once\n", f.title, version, f.takes)
		_, err := ask(ctx, sources, append(f.recipe(version), "-o", building, ".")...)
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
			return "", fmt.Errorf("read what a program is built from: %w", err)
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
