// Program multinic-executor makes its node's multinic interfaces what the dispatcher asks for, proves it by the kernel, and
// reports.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"multinic.dev/executor/internal/config"
)

// version is what --version prints; the linker sets it.
var version = "unknown"

// exitBadSetting is the exit code for a setting that somebody has to set right.
const exitBadSetting = 2

func main() { os.Exit(start()) }

func start() int {
	settings, err := config.Parse(os.Args[1:], version, os.Stdout, os.Exit, os.Hostname)
	if err != nil {
		return complain(err, exitBadSetting)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()

	switch settings.Command {
	case config.Status:
		return status(ctx, settings, os.Stdout)
	case config.Cleanup:
		return cleanup(ctx, settings, os.Stdout)
	default:
		return run(ctx, settings)
	}
}

// oneLine words several errors in one line.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// complain prints an error as one line, and returns the exit code.
func complain(err error, code int) int {
	fmt.Fprintf(os.Stderr, "multinic-executor: %v\n", err)

	return code
}
