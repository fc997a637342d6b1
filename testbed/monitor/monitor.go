// Package monitor listens to what a node's kernel says of its links, addresses, routes, rules and settings, so that a
// test can prove that nothing happened.
package monitor

import (
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"multinic.dev/testbed/node"
)

// markTimeout is how long a marker may take to come back. It takes well under a millisecond.
const markTimeout = 30 * time.Second

// receiveBuffer is large enough for tens of thousands of events between two looks, in bytes.
const receiveBuffer = 8 << 20

// markerAddress is put on the node's loopback link and taken away again to make events whose place among the others is
// known. It is of the range for benchmarks (RFC 2544), which nothing else in a lab uses.
const markerAddress = "198.19.255.254"

// Monitor collects the events of one node from when it was started.
type Monitor struct {
	node *node.Node

	mu     sync.Mutex // guards events, marks and failed
	events []Event
	marks  int
	failed error
	moved  chan struct{} // has a value when marks or failed have changed
}

// subscribe listens to all but neighbours, which come and go with traffic.
func subscribe() (*nl.NetlinkSocket, error) {
	return nl.Subscribe(unix.NETLINK_ROUTE,
		unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
		unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE, unix.RTNLGRP_IPV4_NETCONF)
}

// Start listens to a node until the test ends.
func Start(t node.TB, n *node.Node) *Monitor {
	t.Helper()
	m := &Monitor{node: n, moved: make(chan struct{}, 1)}
	var socket *nl.NetlinkSocket
	err := n.Do(func() (err error) {
		socket, err = subscribe()
		return err
	})
	if err != nil {
		t.Fatalf("listen to the kernel of %s: %v", n.Name(), err)
	}
	// Only root of the machine gets more than the machine's limit; what is lost then ends the test.
	if socket.SetReceiveBufferSize(receiveBuffer, true) != nil {
		if err := socket.SetReceiveBufferSize(receiveBuffer, false); err != nil {
			t.Fatalf("enlarge the receive buffer of the monitor of %s: %v", n.Name(), err)
		}
	}
	// The reader looks up from the socket this often to see whether it should end.
	if err := socket.SetReceiveTimeout(&unix.Timeval{Usec: 20_000}); err != nil {
		t.Fatalf("set the receive timeout of the monitor of %s: %v", n.Name(), err)
	}
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		m.read(socket, stop)
	}()
	t.Cleanup(func() {
		close(stop)
		<-ended
		socket.Close()
	})
	return m
}

func (m *Monitor) read(socket *nl.NetlinkSocket, stop <-chan struct{}) {
	names := map[int32]string{}
	for {
		select {
		case <-stop:
			return
		default:
		}
		messages, _, err := socket.Receive()
		switch {
		case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
			continue
		case err != nil:
			m.add(func() { m.failed = fmt.Errorf("listen to the kernel of %s: %w", m.node.Name(), err) })
			return
		}
		for _, message := range messages {
			event, mark := decode(message, names)
			m.add(func() {
				if mark {
					m.marks++
				} else {
					m.events = append(m.events, event)
				}
			})
		}
	}
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
	m.node.IP("address", "add", markerAddress+"/32", "dev", "lo")
	m.node.IP("address", "delete", markerAddress+"/32", "dev", "lo")

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
			t.Fatalf("the monitor of %s has seen %d events of its marker, not %d", m.node.Name(), marks, want)
			return nil
		}
	}
}
