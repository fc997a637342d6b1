// Package socket opens the socket by which the kernel tells what happens to its links, addresses, routes, rules and settings, in
// whatever machine the caller runs.
package socket

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// receiveBuffer is large enough for tens of thousands of events between two looks, in bytes.
const receiveBuffer = 8 << 20

// lookUp is how often Receive returns while nothing is said, in microseconds.
const lookUp = 20_000

// Message is what the kernel said at one moment, as a listener in a guest passes it on.
type Message struct {
	// At is when it was read, by the clock of the machine that read it, in nanoseconds since 1970.
	At int64 `json:"at"`
	// Type is the message's type, and Data what follows its header.
	Type uint16 `json:"type"`
	Data []byte `json:"data"`
}

// Socket is one that listens. It is not safe for concurrent use.
type Socket struct{ netlink *nl.NetlinkSocket }

// Open listens in the network namespace of the calling thread to all but neighbours, which come and go with traffic.
func Open() (*Socket, error) {
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE,
		unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
		unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE, unix.RTNLGRP_IPV4_NETCONF)
	if err != nil {
		return nil, fmt.Errorf("listen to the kernel: %w", err)
	}
	s := &Socket{netlink: socket}
	// Only root of the machine gets more than the machine's limit; what is lost then is an error of Receive.
	if socket.SetReceiveBufferSize(receiveBuffer, true) != nil {
		if err := socket.SetReceiveBufferSize(receiveBuffer, false); err != nil {
			s.Close()
			return nil, fmt.Errorf("enlarge the receive buffer: %w", err)
		}
	}
	if err := socket.SetReceiveTimeout(&unix.Timeval{Usec: lookUp}); err != nil {
		s.Close()
		return nil, fmt.Errorf("set the receive timeout: %w", err)
	}
	return s, nil
}

// Receive returns what was said, in its order, or nothing after a while in which nothing was. An error says that something may have
// been missed.
func (s *Socket) Receive() ([]syscall.NetlinkMessage, error) {
	messages, _, err := s.netlink.Receive()
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listen to the kernel: %w", err)
	}
	return messages, nil
}

// Close stops listening.
func (s *Socket) Close() { s.netlink.Close() }
