package vm_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"multinic.dev/testbed/debian"
	"multinic.dev/testbed/vm"
)

// talker, in a guest, makes connections to a socket, says something on each in turn, and then waits for ever.
const talker = `
import socket, sys, time
connections = []
for name in sys.argv[2:]:
    c = socket.socket(socket.AF_UNIX)
    c.connect(sys.argv[1])
    connections.append((name, c))
for turn in range(3):
    for name, c in connections:
        c.sendall(f"{name} {turn}\n".encode())
        print(c.makefile().readline().strip(), flush=True)
time.sleep(1000)
`

// echo answers each line that comes over a socket, and counts who is connected.
type echo struct {
	listener net.Listener
	serving  sync.WaitGroup

	mu        sync.Mutex // guards what follows
	connected int
	most      int
}

func startEcho(t *testing.T) (*echo, string) {
	t.Helper()
	path := filepath.Join("/run", "echo.sock")
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	e := &echo{listener: listener}
	e.serving.Go(func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			e.serving.Go(func() { e.serve(connection) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		e.serving.Wait()
	})
	return e, path
}

func (e *echo) count(more int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.connected += more
	e.most = max(e.most, e.connected)
}

func (e *echo) serve(connection net.Conn) {
	e.count(1)
	defer e.count(-1)
	defer func() { _ = connection.Close() }()
	for lines := bufio.NewScanner(connection); lines.Scan(); {
		if _, err := fmt.Fprintf(connection, "heard %s\n", lines.Text()); err != nil {
			return
		}
	}
}

func (e *echo) counts() (connected, most int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.connected, e.most
}

// said waits until a program has printed something.
func said(t *testing.T, p *vm.Program, want string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); p.Log() != want; <-tick.C {
		if time.Now().After(deadline) || !p.Running() {
			t.Fatalf("it printed %q, not %q", p.Log(), want)
		}
	}
}

func TestASocketInTheGuestLeadsToOneOfThisMachines(t *testing.T) {
	onBoth(t, func(t *testing.T, release debian.Release) {
		t.Helper()
		e, here := startEcho(t)
		v := vm.New(t, release, "node-1")
		const there = "/run/dispatcher.sock"
		v.Forward(there, here)
		v.Start()
		v.Write("/root/talker.py", 0o644, talker)
		talk := func() *vm.Program {
			p := v.Spawn("python3", "/root/talker.py", there, "a", "b")
			said(t, p, "heard a 0\nheard b 0\nheard a 1\nheard b 1\nheard a 2\nheard b 2\n")
			return p
		}
		p := talk()
		if connected, most := e.counts(); connected != 2 || most != 2 {
			t.Errorf("connected are %d, at most %d", connected, most)
		}
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
		gone := func() {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for deadline := time.Now().Add(time.Minute); ; <-tick.C {
				if connected, _ := e.counts(); connected == 0 {
					return
				} else if time.Now().After(deadline) {
					t.Fatalf("connected are %d yet", connected)
				}
			}
		}
		gone()
		talk()
		v.Kill()
		gone()
		v.Boot()
		p = talk()
		if code, err := p.Stop(); code != 128+15 || err != nil {
			t.Errorf("it ended with %d, error %v", code, err)
		}
		// Whoever connects while nobody listens here sees the connection end.
		gone()
		_ = e.listener.Close()
		out, code := v.Run("python3", "-c", "import socket; c = socket.socket(socket.AF_UNIX); c.connect('"+there+"'); print(c.recv(1))")
		if code != 0 || out != "b''\n" {
			t.Errorf("it exited with %d: %s", code, out)
		}
	})
}

func TestAProgramInTheGuestIsAskedToEndOrKilled(t *testing.T) {
	v := vm.Start(t, debian.Trixie, "node-1")
	const stubborn = `trap 'echo asked; exit 3' TERM; echo ready; while :; do sleep 0.1; done`
	p := v.Spawn("sh", "-c", stubborn)
	said(t, p, "ready\n")
	if code, err := p.Stop(); code != 3 || err != nil || p.Log() != "ready\nasked\n" {
		t.Errorf("it exited with %d, error %v, and printed %q", code, err, p.Log())
	}
	p = v.Spawn("sh", "-c", stubborn)
	said(t, p, "ready\n")
	if err := p.Kill(); err != nil || p.Running() || p.Log() != "ready\n" {
		t.Errorf("error %v; it runs: %v; it printed %q", err, p.Running(), p.Log())
	}
	if code, err := v.Spawn("sh", "-c", "exit 5").Wait(time.Minute); code != 5 || err != nil {
		t.Errorf("it exited with %d, error %v", code, err)
	}
	if out, code := v.Run("sh", "-c", "echo out; echo err >&2; kill -9 $$"); out != "out\nerr\n" || code != 128+9 {
		t.Errorf("it exited with %d and printed %q", code, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, _, err := v.TryRun(ctx, "sleep", "1000"); err == nil || !strings.Contains(err.Error(), "sleep 1000: it has not ended in time") {
		t.Errorf("error %v", err)
	}
	if out, code := v.Run("sh", "-c", "sleep 0.5; pgrep -x sleep"); code != 1 {
		t.Errorf("what was given up runs yet: %s", out)
	}
	p = v.Spawn("sleep", "1000")
	v.Kill()
	if _, err := p.Wait(time.Second); err == nil || p.Running() {
		t.Errorf("error %v; it runs: %v", err, p.Running())
	}
	if _, _, err := v.TryRun(t.Context(), "true"); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("in a machine that is off: error %v", err)
	}
}
