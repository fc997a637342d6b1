package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"multinic.dev/testbed/vm/order"
	"multinic.dev/testbed/vm/streams"
)

const (
	// portTimeout is how long the port may take to be there, which udev loads the module for.
	portTimeout = time.Minute
	// portInterval is how often it is looked whether it is there, or whether anybody is at its other end.
	portInterval = 50 * time.Millisecond
)

// agent is what the agent keeps of one machine that it serves.
type agent struct {
	line *streams.Line

	mu        sync.Mutex              // guards listeners
	listeners map[string]net.Listener // by their paths
}

// serve serves whatever machine is at the other end of the port.
func serve() error {
	path, err := findPort()
	if err != nil {
		return err
	}
	for {
		port, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return fmt.Errorf("open the port: %w", err)
		}
		a := &agent{listeners: map[string]net.Listener{}}
		a.line = streams.New(port, streams.Guest, a.accept)
		err = a.line.Run()
		a.end()
		if err := errors.Join(port.Close(), notEOF(err)); err != nil {
			fmt.Fprintf(os.Stderr, "agent: %v\n", err)
		}
		time.Sleep(portInterval) // Nobody is there; the port does not tell when somebody is.
	}
}

func notEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// findPort waits for the port, and returns its device.
func findPort() (string, error) {
	for deadline := time.Now().Add(portTimeout); ; time.Sleep(portInterval) {
		names, err := filepath.Glob("/sys/class/virtio-ports/*/name")
		if err != nil {
			return "", fmt.Errorf("look for the port: %w", err)
		}
		for _, file := range names {
			if name, err := os.ReadFile(file); err == nil && strings.TrimSpace(string(name)) == order.Port {
				return filepath.Join("/dev", filepath.Base(filepath.Dir(file))), nil
			}
		}
		if time.Now().After(deadline) {
			return "", fmt.Errorf("there is no port %s", order.Port)
		}
	}
}

// end ends the sockets. Programs end as their streams do.
func (a *agent) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, listener := range a.listeners {
		_ = listener.Close()
	}
	clear(a.listeners)
}

// accept carries out an order. Nobody waits for it: it ends when its stream does.
func (a *agent) accept(s *streams.Stream) {
	go func() {
		var o order.Order
		outcome := order.Outcome{}
		err := json.Unmarshal(s.Purpose(), &o)
		if err == nil {
			outcome.Code, err = a.carryOut(&o, s)
		}
		if err != nil {
			outcome.Error = err.Error()
		}
		_ = s.End(outcome.Bytes()) // Nobody wants to know any more.
	}()
}

func (a *agent) carryOut(o *order.Order, s *streams.Stream) (code int, err error) {
	switch o.Do {
	case order.Run:
		return run(o, s)
	case order.Write:
		return 0, write(o, s)
	case order.Identify:
		return 0, identify(o)
	case order.Listen:
		return 0, a.listen(o)
	default:
		return 0, fmt.Errorf("the agent cannot do %q", o.Do)
	}
}

// listen makes a socket. Each connection is a stream to the machine.
func (a *agent) listen(o *order.Order) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.listeners[o.Path] != nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(o.Path), 0o755); err != nil {
		return fmt.Errorf("make the socket's folder: %w", err)
	}
	if err := os.RemoveAll(o.Path); err != nil { // One that was left by a boot before, if it is on the disk.
		return fmt.Errorf("remove the socket of before: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "unix", o.Path)
	if err != nil {
		return fmt.Errorf("make the socket: %w", err)
	}
	a.listeners[o.Path] = listener
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go a.passOn(o.Path, connection)
		}
	}()
	return nil
}

func (a *agent) passOn(path string, connection net.Conn) {
	s, err := a.line.Open((&order.Order{Do: order.Connect, Path: path}).Bytes())
	if err != nil {
		_ = connection.Close()
		return
	}
	streams.Join(s, connection)
}
