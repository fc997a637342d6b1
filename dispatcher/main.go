// Program multinic-dispatcher reads the table multi_interface, streams each node its work, and commits what nodes have
// verified.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"multinic.dev/dispatcher/internal/config"
)

// version is what --version prints; the linker sets it.
var version = "unknown"

// exitBadSetting is the exit code for a setting, or a database, that somebody has to set right.
const exitBadSetting = 2

func main() { os.Exit(start()) }

func start() int {
	settings, err := config.Parse(os.Args[1:], version, os.Stdout, os.Exit)
	if err != nil {
		return complain(err, exitBadSetting)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()

	return run(ctx, settings)
}

// complain prints an error as one line, and returns the exit code.
func complain(err error, code int) int {
	fmt.Fprintf(os.Stderr, "multinic-dispatcher: %v\n", err)

	return code
}
