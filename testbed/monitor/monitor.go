// Package monitor listens to what a node's kernel says of its links, addresses, routes, rules and settings, so that a
// test can prove that nothing happened.
package monitor

import (
	"fmt"
	"sync"
	"time"

	"multinic.dev/testbed/monitor/socket"
	"multinic.dev/testbed/node"
)

// markTimeout is how long a marker may take to come back. It takes well under a millisecond.
const markTimeout = 30 * time.Second

// markerAddress is put on the node's loopback link and taken away again to make events whose place among the others is
// known. It is of the range for benchmarks (RFC 2544), which nothing else in a lab uses.
const markerAddress = "198.19.255.254"

// Monitor collects the events of one node from when it was started.
type Monitor struct {
	name string // the node's
	mark func() // makes the events of one marker

	mu     sync.Mutex // guards events, marks and failed
	events []Event
	marks  int
	failed error
	moved  chan struct{} // has a value when marks or failed have changed
}

func newMonitor(name string) *Monitor { return &Monitor{name: name, moved: make(chan struct{}, 1)} }

// Start listens to a node until the test ends.
func Start(t node.TB, n *node.Node) *Monitor {
	t.Helper()
	m := newMonitor(n.Name())
	m.mark = func() {
		n.IP("address", "add", markerAddress+"/32", "dev", "lo")
		n.IP("address", "delete", markerAddress+"/32", "dev", "lo")
	}
	var s *socket.Socket
	err := n.Do(func() (err error) {
		s, err = socket.Open()
		return err
	})
	if err != nil {
		t.Fatalf("in %s: %v", n.Name(), err)
	}
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		m.read(s, stop)
	}()
	t.Cleanup(func() {
		close(stop)
		<-ended
		s.Close()
	})
	return m
}

func (m *Monitor) read(s *socket.Socket, stop <-chan struct{}) {
	names := map[int32]string{}
	for {
		select {
		case <-stop:
			return
		default:
		}
		messages, err := s.Receive()
		if err != nil {
			m.fail(err)
			return
		}
		now := time.Now()
		for _, message := range messages {
			m.take(now, message.Header.Type, message.Data, names)
		}
	}
}

// take keeps an event, with the names of links that are known, or learns some.
func (m *Monitor) take(at time.Time, kind uint16, data []byte, names map[int32]string) {
	event, mark := decode(kind, data, names)
	event.At = at
	m.add(func() {
		if mark {
			m.marks++
		} else {
			m.events = append(m.events, event)
		}
	})
}

// fail takes note that something may have been missed.
func (m *Monitor) fail(err error) {
	m.add(func() { m.failed = fmt.Errorf("in %s: %w", m.name, err) })
}

func (m *Monitor) failure() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.failed
}

func (m *Monitor) add(change func()) {
	m.mu.Lock()
	change()
	m.mu.Unlock()
	select {
	case m.moved <- struct{}{}:
	default:
	}
}

// eventsAMark is how many events one marker makes: its address and its local route, each come and gone.
const eventsAMark = 4

// Mark makes events that are known, waits until the monitor has seen them, and returns all others since the last
// Mark, in their order. So an empty answer means silence, not deafness. A monitor that may have missed something ends
// the test. Not safe for concurrent use.
func (m *Monitor) Mark(t node.TB) []Event {
	t.Helper()
	m.mu.Lock()
	want := m.marks + eventsAMark
	m.mu.Unlock()
	m.mark()

	deadline := time.NewTimer(markTimeout)
	defer deadline.Stop()
	for {
		m.mu.Lock()
		failed, marks := m.failed, m.marks
		m.mu.Unlock()
		switch {
		case failed != nil:
			t.Fatalf("%v", failed)
			return nil
		case marks >= want:
			m.mu.Lock()
			defer m.mu.Unlock()
			events := m.events
			m.events = nil
			return events
		}
		select {
		case <-m.moved:
		case <-deadline.C:
			t.Fatalf("the monitor of %s has seen %d events of its marker, not %d", m.name, marks, want)
			return nil
		}
	}
}
