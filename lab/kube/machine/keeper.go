package machine

import (
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// keeperEnv has, in the process that is a machine's first, the folder on which its root is mounted.
	keeperEnv = "MULTINIC_KUBE_MACHINE"
	// readyLine is what the keeper says when the machine is there, and readyFD to whom.
	readyLine = "ready"
	readyFD   = 3
	// endTimeout is how long a keeper that failed, or a program whose machine is off, may take to end. It takes milliseconds.
	endTimeout = 20 * time.Second
	// logTail is how much of what a program has printed is shown after a failure: its end, in bytes.
	logTail = 6000
)

// Keeper is the first process of a machine and never returns, if this process is to be that. A program's main or TestMain
// calls it before anything else.
func Keeper() {
	folder, ok := os.LookupEnv(keeperEnv)
	if !ok {
		return
	}
	if err := run(folder); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run makes the machine, says so, and then reaps whatever loses its parent, for ever.
func run(folder string) error {
	var from boot
	if err := json.NewDecoder(os.Stdin).Decode(&from); err != nil {
		return fmt.Errorf("read what the disk is to have: %w", err)
	}
	orphans := make(chan os.Signal, 1)
	signal.Notify(orphans, syscall.SIGCHLD)
	if err := makeRoot(folder, from); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte(from.Name)); err != nil {
		return fmt.Errorf("set the host name: %w", err)
	}
	ready := os.NewFile(readyFD, "ready")
	if _, err := fmt.Fprintln(ready, readyLine); err != nil {
		return fmt.Errorf("say that the machine is ready: %w", err)
	}
	if err := ready.Close(); err != nil {
		return fmt.Errorf("say that the machine is ready: %w", err)
	}
	for range orphans {
		for {
			// Several may have ended, for one signal.
			pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
			if pid <= 0 && err != syscall.EINTR {
				break
			}
		}
	}
	return nil
}
