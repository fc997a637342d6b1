// Package layout answers which Go package reaches which, for the tests that keep this repository's modules apart.
package layout

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// Package is one package as `go list -json` describes it.
type Package struct {
	// ImportPath is the package's path; for the variants that exist for tests alone, followed by the test in brackets.
	ImportPath string `json:"ImportPath"`
	// Dir is where its files lie.
	Dir string `json:"Dir"`
	// GoFiles are the names of its files for this platform, without tests.
	GoFiles []string `json:"GoFiles"`
	// Imports are the paths that these files import.
	Imports []string `json:"Imports"`
}

// Packages lists the packages that match a pattern in the module that lies in dir, together with all that they
// reach, each after what it imports. With tests, what only their tests reach is among them. The workspace is left
// out of it: the module speaks for itself.
func Packages(ctx context.Context, dir, pattern string, tests bool) ([]Package, error) {
	arguments := []string{"list", "-deps", "-json=ImportPath,Dir,GoFiles,Imports"}
	if tests {
		arguments = append(arguments, "-test")
	}
	output, err := goCommand(ctx, dir, append(arguments, pattern)...)
	if err != nil {
		return nil, err
	}

	var packages []Package
	for decoder := json.NewDecoder(bytes.NewReader(output)); ; {
		var one Package
		switch err := decoder.Decode(&one); {
		case errors.Is(err, io.EOF):
			return packages, nil
		case err != nil:
			return nil, fmt.Errorf("read what go list says of %s: %w", dir, err)
		}
		packages = append(packages, one)
	}
}

// Modules lists the paths of all modules in the module graph of the module that lies in dir, itself included.
func Modules(ctx context.Context, dir string) ([]string, error) {
	output, err := goCommand(ctx, dir, "list", "-m", "-f", "{{.Path}}", "all")
	if err != nil {
		return nil, err
	}

	return strings.Fields(string(output)), nil
}

// Reached returns the paths among packages that are, or lie below, one of the forbidden paths.
func Reached(packages []Package, forbidden []string) []string {
	paths := make([]string, 0, len(packages))
	for _, one := range packages {
		path, _, _ := strings.Cut(one.ImportPath, " ")
		paths = append(paths, path)
	}

	return Below(paths, forbidden)
}

// Below returns those of paths that are, or lie below, one of roots: sorted, each once.
func Below(paths, roots []string) []string {
	var found []string
	for _, path := range paths {
		if slices.ContainsFunc(roots, func(root string) bool {
			return path == root || strings.HasPrefix(path, root+"/")
		}) {
			found = append(found, path)
		}
	}
	slices.Sort(found)

	return slices.Compact(found)
}

func goCommand(ctx context.Context, dir string, arguments ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, "go", arguments...)
	command.Dir = dir
	command.Env = append(os.Environ(), "GOWORK=off")
	var complaint bytes.Buffer
	command.Stderr = &complaint
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s in %s: %w: %s", strings.Join(arguments, " "), dir, err, complaint.String())
	}

	return output, nil
}
