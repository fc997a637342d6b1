package monitor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"multinic.dev/testbed/monitor/socket"
	"multinic.dev/testbed/node"
	"multinic.dev/testbed/vm"
)

const (
	// listenerPackage is the program that listens in guests, and guestListener where a guest has it.
	listenerPackage = "multinic.dev/testbed/monitor/listener"
	guestListener   = "/run/multinic-agent/listener"
	// startTimeout is how long it may take to begin. It takes a fifth of a second.
	startTimeout = time.Minute
)

// Fixture builds the program that listens in guests for all tests of a suite, into a folder that goes with them (sandbox.Main).
func Fixture(listener *string) func() (end func() error, err error) {
	return func() (func() error, error) {
		dir, err := os.MkdirTemp("", "listener-")
		if err != nil {
			return nil, fmt.Errorf("make a folder for the listener: %w", err)
		}
		*listener = filepath.Join(dir, "listener")
		cmd := exec.CommandContext(context.Background(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", *listener, listenerPackage)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, errors.Join(fmt.Errorf("build the listener: %w: %s", err, out), os.RemoveAll(dir))
		}
		return func() error { return os.RemoveAll(dir) }, nil
	}
}

// StartIn listens to a virtual machine, which runs, by the program that Fixture has built, until the test or the machine ends. The
// times of its events are the guest's.
func StartIn(t node.TB, v *vm.VM, listener string) *Monitor {
	t.Helper()
	m := newMonitor(v.Name())
	m.mark = func() {
		v.MustRun("sh", "-ec", "ip address add "+markerAddress+"/32 dev lo; ip address delete "+markerAddress+"/32 dev lo")
	}
	if _, code := v.Run("test", "-x", guestListener); code != 0 {
		v.Put(listener, guestListener)
	}
	r := &reader{monitor: m, names: links(v.MustRun("ip", "-o", "link")), listens: make(chan struct{})}
	program := v.SpawnInto(r, guestListener)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		code, err := program.Wait(forever)
		m.fail(errors.Join(err, fmt.Errorf("the listener has ended with code %d: %s", code, r.rest())))
	}()
	t.Cleanup(func() {
		if err := program.Kill(); err != nil && program.Running() {
			t.Fatalf("end the listener of %s: %v", v.Name(), err)
		}
		<-ended
	})
	select {
	case <-r.listens:
	case <-ended:
		t.Fatalf("%v", m.failure())
	case <-time.After(startTimeout):
		t.Fatalf("the listener of %s does not begin", v.Name())
	}
	return m
}

// links are the names of links by their indexes, as ip lists them.
func links(list string) map[int32]string {
	names := map[int32]string{}
	for line := range strings.Lines(list) {
		number, rest, _ := strings.Cut(line, ": ")
		name, _, _ := strings.Cut(rest, ": ")
		name, _, _ = strings.Cut(name, "@")
		if index, err := strconv.ParseInt(number, 10, 32); err == nil {
			names[int32(index)] = name
		}
	}
	return names
}

// forever is longer than any test.
const forever = 24 * time.Hour

// reader takes what the listener prints.
type reader struct {
	monitor *Monitor
	names   map[int32]string
	listens chan struct{} // closed when it does
	begun   bool

	mu   sync.Mutex // guards text
	text []byte     // what is no whole line yet, or none that is understood
}

// Write takes whole lines as they come.
func (r *reader) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text = append(r.text, p...)
	for {
		line, rest, whole := bytes.Cut(r.text, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		if len(line) == 0 && !r.begun {
			r.begun = true
			close(r.listens)
		} else {
			var message socket.Message
			if err := json.Unmarshal(line, &message); err != nil {
				return len(p), nil // It complains, and ends.
			}
			r.monitor.take(time.Unix(0, message.At), message.Type, message.Data, r.names)
		}
		r.text = rest
	}
}

func (r *reader) rest() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(r.text)
}
