package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

// keptFolder is where a fleet that goes on has its socket and its stop script: a short path that is the same each time, so that
// it can stand in the README. Another one can be set, for a second demo on one machine.
func keptFolder() string {
	if folder := os.Getenv(folderEnv); folder != "" {
		return folder
	}
	return "/tmp/multinic-demo"
}

// upAndRunning is the last line that a demo in the background prints.
const upAndRunning = "multinic-demo: up and running"

// keepRunning starts the demo in the background, passes on what it prints until the fleet runs, and returns an exit code. A signal
// before that ends it all.
func keepRunning(folder string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := os.Mkdir(folder, 0o700); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return fail(occupied(folder))
		}
		return fail(fmt.Errorf("make the folder of the demo: %w", err))
	}
	if err := background(ctx, folder); err != nil {
		return fail(errors.Join(err, os.RemoveAll(folder)))
	}
	return 0
}

// occupied says whose the folder is that is there already.
func occupied(folder string) error {
	stop := filepath.Join(folder, "stop")
	info, err := os.Lstat(folder)
	if err != nil {
		return fmt.Errorf("look at %s: %w", folder, err)
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); !ok || int(owner.Uid) != os.Getuid() || !info.IsDir() {
		return fmt.Errorf("%s is there already and is not yours: ask its owner to end the demo or to remove it", folder)
	}
	if _, err := os.Stat(stop); err != nil {
		return fmt.Errorf("%s is there already, without a demo in it: remove it", folder)
	}
	return fmt.Errorf("a demo runs already: end it with %s", stop)
}

// background starts the demo and waits until its fleet runs. Where ctx ends before, so does the demo.
func background(ctx context.Context, folder string) error {
	logPath := filepath.Join(folder, "log")
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("make the demo's log: %w", err)
	}
	defer func() { _ = log.Close() }()
	demo := exec.CommandContext(context.Background(), "/proc/self/exe")
	demo.Args = os.Args
	demo.Env = append(os.Environ(), stageEnv+"="+folder)
	demo.Stderr = log
	// Of its own session: what ends this shell does not end the demo.
	demo.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	output, err := demo.StdoutPipe()
	if err != nil {
		return fmt.Errorf("start the demo: %w", err)
	}
	if err := demo.Start(); err != nil {
		return fmt.Errorf("start the demo: %w", err)
	}
	if err := writeStop(folder, demo.Process.Pid); err != nil {
		return errors.Join(err, demo.Process.Signal(syscall.SIGTERM), demo.Wait())
	}
	runs := make(chan bool)
	go func() { runs <- passOn(output) }()
	select {
	case up := <-runs:
		if up {
			return nil
		}
		ended := demo.Wait()
		said, _ := os.ReadFile(logPath)
		return fmt.Errorf("the demo ended early (%w): %s", ended, strings.TrimSpace(string(said)))
	case <-ctx.Done():
		err := demo.Process.Signal(syscall.SIGTERM)
		<-runs
		_ = demo.Wait() // It was told to.
		return errors.Join(interrupted(context.Cause(ctx)), err)
	}
}

// passOn prints what a demo prints, and says whether its fleet runs: it prints nothing more then. If not, the demo has ended.
func passOn(output io.Reader) bool {
	for lines := bufio.NewScanner(output); lines.Scan(); {
		if lines.Text() == upAndRunning {
			return true
		}
		fmt.Println(lines.Text())
	}
	return false
}

// writeStop writes the script that ends the demo. A process is known by its id and the time at which it began, so that another
// one that has got the id is left alone.
func writeStop(folder string, pid int) error {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return fmt.Errorf("look at the demo's process: %w", err)
	}
	// The name, in parentheses, may contain blanks; the time is the twentieth field after it.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const began = 19
	if len(fields) <= began {
		return fmt.Errorf("look at the demo's process: /proc/%d/stat is %q", pid, stat)
	}
	script := fmt.Sprintf(`#!/bin/sh
# Ends the demo and removes its folder.
{
  runs() { [ "$(sed 's/.*) //' /proc/%[1]d/stat 2>/dev/null | cut -d ' ' -f %[2]d)" = %[3]s ] && ! grep -q '^State:.Z' /proc/%[1]d/status; }
  ! runs || kill -TERM %[1]d
  while runs; do sleep 0.1; done
  rm -rf %[4]s
  exit
}
`, pid, began+1, fields[began], folder)
	if err := os.WriteFile(filepath.Join(folder, "stop"), []byte(script), 0o700); err != nil {
		return fmt.Errorf("write the stop script: %w", err)
	}
	return nil
}
