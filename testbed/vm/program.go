package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"time"

	"multinic.dev/testbed/said"
	"multinic.dev/testbed/vm/order"
	"multinic.dev/testbed/vm/streams"
	"multinic.dev/testbed/waiting"
)

// Program is a program that runs in a guest for long. Its methods are safe for concurrent use.
type Program struct {
	name   string
	stream *streams.Stream
	log    said.Output
	// ended is closed when the program has ended, or the machine that it ran in; code and err are how.
	ended chan struct{}
	code  int
	err   error
}

// Spawn starts a program in the guest, and does not wait for it. It ends with the machine.
func (v *VM) Spawn(name string, args ...string) *Program {
	v.t.Helper()
	return v.SpawnInto(io.Discard, name, args...)
}

// SpawnInto is Spawn, and also writes what the program prints to somebody, as it comes and on one goroutine.
func (v *VM) SpawnInto(w io.Writer, name string, args ...string) *Program {
	v.t.Helper()
	m := v.mustRun()
	s, err := m.line.Open((&order.Order{Do: order.Run, Args: append([]string{name}, args...)}).Bytes())
	if err != nil {
		v.t.Fatalf("in %s: start %s: %v", v.name, name, err)
	}
	p := &Program{name: name, stream: s, ended: make(chan struct{})}
	m.listening.Go(func() {
		defer close(p.ended)
		_, err := io.Copy(io.MultiWriter(&p.log, w), s)
		if err != nil {
			p.err = errors.New("the machine that it ran in has ended")
			return
		}
		p.code, p.err = outcome(s)
		_ = s.CloseWrite() // The other end has no use for it either.
	})
	return p
}

// Log is what the program has printed so far, on stdout and stderr.
func (p *Program) Log() string { return p.log.String() }

// Running says whether the program has not ended yet.
func (p *Program) Running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// Wait waits until the program has ended, and returns the code with which it exited; 128 and the signal's number if one
// ended it.
func (p *Program) Wait(within time.Duration) (int, error) {
	select {
	case <-p.ended:
		return p.code, p.err
	case <-after(within):
		return 0, fmt.Errorf("%s has not ended within %v", p.name, within)
	}
}

// endTimeout is how long a program may take to end when it is asked to.
const endTimeout = time.Minute

// Stop asks the program to end, waits, and returns the code with which it exited.
func (p *Program) Stop() (int, error) {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	return p.Wait(endTimeout)
}

// Kill ends the program at once, as a crash would.
func (p *Program) Kill() error {
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	_, err := p.Wait(endTimeout)
	return err
}

// Signal sends the program a signal. It does nothing if the program has ended.
func (p *Program) Signal(signal syscall.Signal) error {
	if !p.Running() {
		return nil
	}
	if _, err := p.stream.Write([]byte{byte(signal)}); err != nil && p.Running() && !errors.Is(err, streams.ErrReset) {
		return fmt.Errorf("send %v to %s: %w", signal, p.name, err)
	}
	return nil
}

// Run runs a program in the guest, and returns what it printed and the code with which it exited; 128 and the signal's
// number if one ended it. It ends the test if the program cannot be run, or does not end in time.
func (v *VM) Run(name string, args ...string) (string, int) {
	v.t.Helper()
	ctx, cancel := waiting.For(v.t, patience, waiting.ToSay)
	defer cancel()
	out, code, err := v.TryRun(ctx, name, args...)
	if err != nil {
		v.t.Fatalf("%v\nit printed:\n%s%s", err, out, v.mustRun().story())
	}
	return out, code
}

// TryRun is Run for what may fail: the machine may end meanwhile, or the context.
func (v *VM) TryRun(ctx context.Context, name string, args ...string) (string, int, error) {
	m := v.machine()
	if m == nil {
		return "", 0, fmt.Errorf("the virtual machine %s is off", v.name)
	}
	out, code, err := m.ask(ctx, &order.Order{Do: order.Run, Args: append([]string{name}, args...)}, nil)
	if err != nil {
		return out, 0, fmt.Errorf("in %s: %s %s: %w", v.name, name, strings.Join(args, " "), err)
	}
	return out, code, nil
}

// Output is what a program in the guest prints, without what it says besides; an error, if it exits with another code than 0.
func (v *VM) Output(ctx context.Context, name string, args ...string) ([]byte, error) {
	out, code, err := v.TryRun(ctx, "sh", append([]string{"-c", `exec "$@" 2>/dev/null`, "sh", name}, args...)...)
	if err == nil && code != 0 {
		err = fmt.Errorf("in %s: %s %s exited with %d", v.name, name, strings.Join(args, " "), code)
	}
	return []byte(out), err
}

// MustRun is Run for what must not fail: then it ends the test.
func (v *VM) MustRun(name string, args ...string) string {
	v.t.Helper()
	out, code := v.Run(name, args...)
	if code != 0 {
		v.t.Fatalf("in %s: %s %s exited with %d: %s", v.name, name, strings.Join(args, " "), code, out)
	}
	return out
}
