// Program multinic-demo shows a whole fleet on this machine: a private MariaDB, a dispatcher, and three nodes.
//
// It runs in a sandbox and leaves nothing behind. With KEEP=1 in the environment the fleet goes on in the background, until
// the stop script is run that it says.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"multinic.dev/lab/program"
	"multinic.dev/testbed/sandbox"
)

const (
	// keepEnv asks for a fleet that goes on, and folderEnv says where.
	keepEnv   = "KEEP"
	folderEnv = "DEMO_FOLDER"
	// stageEnv is how the demo that was asked to go on tells the one in the background which folder is its own.
	stageEnv = "MULTINIC_DEMO_STAGE"
)

func main() {
	programs, err := besides()
	if err != nil {
		os.Exit(fail(err))
	}
	folder := os.Getenv(stageEnv)
	if keep := os.Getenv(keepEnv); folder == "" && keep != "" && keep != "0" {
		os.Exit(keepRunning(keptFolder()))
	}
	os.Exit(sandbox.Run("multinic-demo", func(ctx context.Context) error {
		return perform(ctx, programs, folder)
	}))
}

// besides finds the programs in the folder of this one.
func besides() (program.Programs, error) {
	self, err := os.Executable()
	if err != nil {
		return program.Programs{}, fmt.Errorf("find the folder of the programs: %w", err)
	}
	dir := filepath.Dir(self)
	found := program.Programs{Dispatcher: filepath.Join(dir, "multinic-dispatcher"), Executor: filepath.Join(dir, "multinic-executor")}
	for _, path := range []string{found.Dispatcher, found.Executor} {
		if _, err := os.Stat(path); err != nil {
			return program.Programs{}, fmt.Errorf("the demo runs the programs beside it: run make demo, which builds them (%w)", err)
		}
	}
	return found, nil
}

func fail(err error) int {
	fmt.Fprintf(os.Stderr, "multinic-demo: %v\n", err)
	return 1
}
