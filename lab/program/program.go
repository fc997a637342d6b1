// Package program runs the two programs of this repository, and any other, as processes that a test can stop, kill and read.
package program

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"multinic.dev/testbed/said"
)

// Programs are the paths of the two programs.
type Programs struct{ Dispatcher, Executor string }

// Build builds both programs into a folder, with the race detector if the caller has it. It belongs into a suite's TestMain, since
// it takes its time.
func Build(ctx context.Context, dir string) (Programs, error) {
	built := Programs{Dispatcher: filepath.Join(dir, "multinic-dispatcher"), Executor: filepath.Join(dir, "multinic-executor")}
	for module, path := range map[string]string{"dispatcher": built.Dispatcher, "executor": built.Executor} {
		arguments := slices.Concat([]string{"build", "-buildvcs=false", "-ldflags=-X main.version=lab", "-o", path}, raceFlags(), []string{"."})
		build := exec.CommandContext(ctx, "go", arguments...)
		build.Dir = filepath.Join("..", "..", module)
		if said, err := build.CombinedOutput(); err != nil {
			return Programs{}, fmt.Errorf("build the %s: %w: %s", module, err, said)
		}
	}

	return built, nil
}

// BuildStatic builds the executor into a folder as a release has it: without the race detector, and needing nothing of the machine
// that it runs on.
func BuildStatic(ctx context.Context, dir string) (executor string, err error) {
	executor = filepath.Join(dir, "multinic-executor-static")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -X main.version=lab", "-o", executor, ".")
	build.Dir, build.Env = filepath.Join("..", "..", "executor"), append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if said, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the executor for another machine: %w: %s", err, said)
	}

	return executor, nil
}

// endTimeout is how long a program may take to end when it is asked to: longer than the dispatcher gives sessions and commits.
const endTimeout = 30 * time.Second

// Process is a program that was started. Its methods are safe for concurrent use.
type Process struct {
	name  string
	cmd   *exec.Cmd
	ended chan struct{} // closed once it has been waited for
	log   said.Output
}

// Start starts a command; its name is for messages. What it prints is kept. It is killed when this process ends.
func Start(name string, cmd *exec.Cmd) (*Process, error) {
	p := &Process{name: name, cmd: cmd, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.log, &p.log
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started := make(chan error)
	go func() {
		// Pdeathsig is bound to the thread that forks: this one waits for as long as the program runs.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.ended)
		if err := cmd.Start(); err != nil {
			started <- fmt.Errorf("start %s: %w", name, err)

			return
		}
		started <- nil
		_ = cmd.Wait() // ExitCode tells.
	}()
	if err := <-started; err != nil {
		<-p.ended

		return nil, err
	}

	return p, nil
}

// Fixture builds both programs for all tests of a suite, into a folder that goes with them (sandbox.Main).
func Fixture(into *Programs) func() (end func() error, err error) {
	return func() (func() error, error) {
		dir, err := os.MkdirTemp("", "programs-")
		if err != nil {
			return nil, fmt.Errorf("make a folder for the programs: %w", err)
		}
		if *into, err = Build(context.Background(), dir); err != nil {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}

		return func() error { return os.RemoveAll(dir) }, nil
	}
}

// StaticFixture is Fixture for the executor alone, as BuildStatic builds it.
func StaticFixture(executor *string) func() (end func() error, err error) {
	return func() (func() error, error) {
		dir, err := os.MkdirTemp("", "programs-")
		if err != nil {
			return nil, fmt.Errorf("make a folder for the executor: %w", err)
		}
		if *executor, err = BuildStatic(context.Background(), dir); err != nil {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}

		return func() error { return os.RemoveAll(dir) }, nil
	}
}

// PID is the program's process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Log is what the program has printed so far, on stdout and stderr.
func (p *Process) Log() string { return p.log.String() }

// Wait waits until the program has ended by itself, and returns its exit code; -1 when a signal ended it.
func (p *Process) Wait(within time.Duration) (int, error) {
	late := time.NewTimer(within)
	defer late.Stop()
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-late.C:
		return 0, fmt.Errorf("%s has not ended within %v", p.name, within)
	}
}

// Running says whether the program has not ended yet.
func (p *Process) Running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// Stop asks the program to end, and waits. That it had ended already, or does not end in good order, is an error.
func (p *Process) Stop() error {
	if !p.Running() {
		return fmt.Errorf("%s ended by itself with code %d", p.name, p.cmd.ProcessState.ExitCode())
	}
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	code, err := p.Wait(endTimeout)
	if err != nil {
		return errors.Join(err, p.Kill())
	}
	if code != 0 {
		return fmt.Errorf("%s ended with code %d", p.name, code)
	}

	return nil
}

// Kill ends the program at once, as a crash would.
func (p *Process) Kill() error {
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.ended

	return nil
}

// Pause stops the program in its tracks until Resume.
func (p *Process) Pause() error { return p.signal(syscall.SIGSTOP) }

// Resume lets a paused program go on.
func (p *Process) Resume() error { return p.signal(syscall.SIGCONT) }

func (p *Process) signal(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %v to %s: %w", sig, p.name, err)
	}

	return nil
}

// Scandal is what Scandal finds in the program's log.
func (p *Process) Scandal() string { return Scandal(p.Log()) }

// Scandal is the first line of a log that no program may print, or nothing: a panic, or a data race.
func Scandal(log string) string {
	for line := range strings.Lines(log) {
		for _, word := range []string{"panic: ", "fatal error: ", "WARNING: DATA RACE", "a call panicked"} {
			if strings.Contains(line, word) {
				return strings.TrimSpace(line)
			}
		}
	}

	return ""
}
