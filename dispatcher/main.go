// Program multinic-dispatcher reads the table multi_interface, streams each node its work, and commits what nodes have
// verified.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"multinic.dev/dispatcher/internal/check"
	"multinic.dev/dispatcher/internal/config"
)

// version is what --version prints; the linker sets it.
var version = "unknown"

// exitBadSetting is the exit code for a setting, or a database, that somebody has to set right.
const exitBadSetting = 2

func main() { os.Exit(start()) }

func start() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if len(os.Args) > 1 && os.Args[1] == config.CheckCommand {
		return look(ctx, os.Args[2:])
	}
	settings, err := config.Parse(os.Args[1:], version, os.Stdout, os.Exit)
	if err != nil {
		return complain(err, exitBadSetting)
	}

	return run(ctx, settings)
}

// look checks an installation, and returns the exit code.
func look(ctx context.Context, arguments []string) int {
	settings, err := config.ParseCheck(arguments, version, os.Stdout, os.Exit)
	if err != nil {
		return complain(err, exitBadSetting)
	}
	err = check.Run(ctx, check.Settings{
		Dispatcher: settings.Dispatcher, TLSCA: settings.TLSCA, TokenFile: settings.TokenFile,
		MinSessions: settings.MinSessions, Timeout: settings.Timeout,
	}, os.Stdout)
	if setting := (*check.SettingError)(nil); errors.As(err, &setting) {
		return complain(err, exitBadSetting)
	}
	if err != nil {
		return complain(err, 1)
	}

	return 0
}

// complain prints an error as one line, and returns the exit code.
func complain(err error, code int) int {
	fmt.Fprintf(os.Stderr, "multinic-dispatcher: %v\n", err)

	return code
}
