package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"go.uber.org/zap"

	"multinic.dev/executor/internal/config"
	"multinic.dev/executor/internal/host"
	"multinic.dev/executor/internal/link"
	"multinic.dev/executor/internal/local"
	"multinic.dev/executor/internal/record"
	"multinic.dev/executor/internal/statedir"
	"multinic.dev/executor/internal/transaction"
)

// status prints what the node's interfaces are, and returns the exit code. It needs no lock: an executor may be running.
func status(ctx context.Context, settings *config.Config, out io.Writer) int {
	interfaces, err := record.Open(settings.StateDir)
	if err != nil {
		return complain(err, 1)
	}
	kernel, err := link.Open(settings.HostRoot)
	if err != nil {
		return complain(err, 1)
	}
	defer kernel.Close()
	using, err := backendOf(settings, kernel)
	if err != nil {
		return complain(err, exitBadSetting)
	}
	if err := local.Status(ctx, out, interfaces.Cards(), using.kernel); err != nil {
		return complain(err, 1)
	}
	left, err := transaction.OpenJournal(settings.StateDir).Read()
	if err != nil {
		return complain(err, 1)
	}
	if left != nil {
		if _, err := fmt.Fprintln(out, "a transaction is under way, or was left by an executor that was killed: the next one puts it back"); err != nil {
			return complain(err, 1)
		}
	}

	return 0
}

// cleanup gives all of the node's interfaces back, and returns the exit code.
func cleanup(ctx context.Context, settings *config.Config, out io.Writer) (code int) {
	dir, err := statedir.OpenExisting(settings.StateDir)
	if err != nil {
		return complain(fmt.Errorf("--state-dir (STATE_DIR) is %q: %w", settings.StateDir, err), exitBadSetting)
	}
	defer func() {
		if err := dir.Close(); err != nil && code == 0 {
			code = complain(err, 1)
		}
	}()
	interfaces, err := record.Open(settings.StateDir)
	if err != nil {
		return complain(err, 1)
	}
	identity, err := host.Read(settings.HostRoot)
	if err != nil {
		return complain(err, 1)
	}
	kernel, err := link.Open(settings.HostRoot)
	if err != nil {
		return complain(err, 1)
	}
	defer kernel.Close()
	using, err := backendOf(settings, kernel)
	if err != nil {
		return complain(err, exitBadSetting)
	}
	transactions := transaction.New(transaction.Config{
		Kernel: using.kernel, Record: interfaces, Journal: transaction.OpenJournal(settings.StateDir), Files: using.files,
		Manager: using.manager, Prober: transaction.Unguarded{},
		Guard: transaction.Unguarded{}, Log: zap.NewNop(), Machine: identity.Machine, Boot: identity.Boot,
	})
	if err := local.Cleanup(ctx, out, interfaces.Cards(), kernel, transactions); err != nil {
		return complain(errors.New(oneLine(err)), 1)
	}

	return 0
}
