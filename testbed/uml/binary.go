package uml

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
)

// builtName is the name, in the suite's temporary folder, of what is built for its tests.
const builtName = "without-race.test"

// binaryFor is the program to run under the kernel: this one, or, if that has the race detector in it, one that is
// built of the same package without, by the first test that needs it.
func binaryFor(ctx context.Context, folder string) (string, error) {
	if !raceEnabled {
		binary, err := os.Executable()
		if err != nil {
			return "", fmt.Errorf("find this program: %w", err)
		}
		return binary, nil
	}
	built := filepath.Join(os.TempDir(), builtName)
	if _, err := os.Stat(built); err == nil {
		return built, nil
	}
	fresh := filepath.Join(folder, builtName)
	args := []string{"test", "-c", "-buildvcs=false", "-vet=off", "-o", fresh}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range info.Settings {
			if setting.Key == "-tags" {
				args = append(args, "-tags="+setting.Value)
			}
		}
	}
	// `go test` starts a suite in the folder of its package.
	if out, err := exec.CommandContext(ctx, "go", append(args, ".")...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the suite without the race detector: %w: %s", err, out)
	}
	// Several tests may be at it at once; whichever is last wins, with the same program.
	if err := os.Rename(fresh, built); err != nil {
		return "", fmt.Errorf("keep the suite that was built without the race detector: %w", err)
	}
	return built, nil
}

// forgetBuilt is the fixture that removes what was built.
func forgetBuilt() (end func() error, err error) {
	return func() error {
		err := os.Remove(filepath.Join(os.TempDir(), builtName))
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	}, nil
}
