package container

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// caretakerEnv has, in the process that is a suite's caretaker, the path of the suite's control group.
const caretakerEnv = "MULTINIC_CONTAINER_CARETAKER"

const (
	// removeTimeout is how long a control group may take to be empty once the suite has ended. It takes milliseconds.
	removeTimeout = 10 * time.Second
	// removeInterval is how often it is looked whether it is: nothing tells when a group can be removed.
	removeInterval = 10 * time.Millisecond
)

// startCaretaker starts the process that removes a suite's control group when the suite has ended. It is outside of the
// sandbox and of the suite's process group, so that it does so for a suite that was killed, too.
func startCaretaker(path string) (end func() error, err error) {
	suite, alive, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe to the caretaker: %w", err)
	}
	cmd := exec.CommandContext(context.Background(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), caretakerEnv+"="+path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	// It holds nothing of the suite's own output: `go test` waits for whoever does.
	var said bytes.Buffer
	cmd.Stdin, cmd.Stderr = suite, &said
	err = cmd.Start()
	if err := errors.Join(err, suite.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("start the caretaker: %w", err), alive.Close())
	}
	return func() error {
		err := alive.Close()
		if wait := cmd.Wait(); wait != nil {
			err = errors.Join(err, fmt.Errorf("remove the control group of the containers: %w: %s", wait, strings.TrimSpace(said.String())))
		}
		return err
	}, nil
}

// beCaretaker waits until the suite, whose end of the pipe nobody else has, has ended, and removes its control group.
func beCaretaker(path string) (code int) {
	_, _ = io.Copy(io.Discard, os.Stdin)
	hierarchies, err := hierarchies()
	for _, hierarchy := range hierarchies {
		err = errors.Join(err, removeGroup(filepath.Join(hierarchy, path)))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// removeGroup removes a control group with all that are below it, once nothing is in them any more.
func removeGroup(folder string) error {
	for deadline := time.Now().Add(removeTimeout); ; time.Sleep(removeInterval) {
		if err := removeEmptyGroup(folder); !errors.Is(err, syscall.EBUSY) || time.Now().After(deadline) {
			return err
		}
	}
}

func removeEmptyGroup(folder string) error {
	// A group's files are the kernel's, and go with it. One that is not there any more has nothing below.
	below, err := filepath.Glob(filepath.Join(folder, "*", "cgroup.procs"))
	if err != nil {
		return fmt.Errorf("look what is below the control group %s: %w", folder, err)
	}
	for _, file := range below {
		if err := removeEmptyGroup(filepath.Dir(file)); err != nil {
			return err
		}
	}
	if err := syscall.Rmdir(folder); err != nil && !errors.Is(err, syscall.ENOENT) {
		return fmt.Errorf("remove the control group %s: %w", folder, err)
	}
	return nil
}
