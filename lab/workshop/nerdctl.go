package workshop

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"

	"multinic.dev/testbed/debian"
)

// pinned are the modules, in folders beside this package's files, that pin what Debian does not bring, and the programs of each. They stand
// apart, since each wants other versions of what both use.
func pinned() map[string][]string {
	return map[string][]string{
		"nerdctl":  {"github.com/containerd/nerdctl/v2/cmd/nerdctl"},
		"buildkit": {"github.com/moby/buildkit/cmd/buildctl", "github.com/moby/buildkit/cmd/buildkitd"},
	}
}

// nerdctl is a folder with nerdctl and BuildKit's programs. They are built now, in some minutes, if none are kept that are made of the same.
// Here is the folder of this package's files.
func nerdctl(ctx context.Context, here string) (string, error) {
	version, err := goCommand(ctx, ".", nil, "env", "GOVERSION", "GOARCH")
	if err != nil {
		return "", err
	}
	recipe := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o"}
	hash := sha256.New()
	_, _ = fmt.Fprintf(hash, "%q%q", version, recipe)
	for _, folder := range []string{"buildkit", "nerdctl"} {
		for _, name := range []string{"go.mod", "go.sum"} {
			text, err := os.ReadFile(filepath.Join(here, folder, name))
			if err != nil {
				return "", fmt.Errorf("find out what nerdctl and BuildKit are built from: %w", err)
			}
			_, _ = fmt.Fprintf(hash, "%q", text)
		}
	}

	return debian.Kept(ctx, fmt.Sprintf("nerdctl-%x", hash.Sum(nil)[:8]), func(ctx context.Context, building string) error {
		_, _ = fmt.Fprintln(os.Stderr, "building nerdctl and BuildKit, which takes some minutes, once")
		for folder, programs := range pinned() {
			arguments := append(append([]string{}, recipe...), building+"/")
			environment := []string{"GOWORK=off", "CGO_ENABLED=0", "GOFLAGS="}
			if _, err := goCommand(ctx, filepath.Join(here, folder), environment, append(arguments, programs...)...); err != nil {
				return err
			}
		}

		return nil
	})
}
