package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"multinic.dev/testbed/vm/order"
	"multinic.dev/testbed/vm/streams"
)

// letGo is how long the output of a program that has ended may still be held by what it has started.
const letGo = 5 * time.Second

// run runs a program, and returns what it exited with.
func run(o *order.Order, s *streams.Stream) (code int, err error) {
	if len(o.Args) == 0 {
		return 0, errors.New("there is no program to run")
	}
	cmd := exec.CommandContext(context.Background(), o.Args[0], o.Args[1:]...)
	cmd.Stdout, cmd.Stderr = s, s // The same for both: one writes at a time.
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = letGo
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start it: %w", err)
	}
	over := make(chan struct{})
	go signals(cmd, s, over)
	err = cmd.Wait()
	close(over)
	var exit *exec.ExitError
	switch status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus); {
	case errors.Is(err, exec.ErrWaitDelay):
		return 0, errors.New("it has ended, but its output is held by something that it has started")
	case err != nil && !errors.As(err, &exit):
		return 0, fmt.Errorf("wait for it: %w", err)
	case status.Signaled():
		return 128 + int(status.Signal()), nil
	default:
		return cmd.ProcessState.ExitCode(), nil
	}
}

// signals passes signals on to the program, until it has ended. If nobody is there any more it ends all that the program
// has started with it.
func signals(cmd *exec.Cmd, s *streams.Stream, over <-chan struct{}) {
	one := make([]byte, 1)
	for {
		_, err := s.Read(one)
		select {
		case <-over:
			return
		default:
		}
		switch {
		case errors.Is(err, io.EOF):
			return
		case err != nil:
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			return
		}
		if err := cmd.Process.Signal(syscall.Signal(one[0])); err != nil && !errors.Is(err, os.ErrProcessDone) {
			fmt.Fprintf(os.Stderr, "agent: send signal %d to %s: %v\n", one[0], cmd.Path, err)
		}
	}
}
