package link

import (
	"context"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

func subscribe() (*nl.NetlinkSocket, error) {
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
		unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV4_NETCONF)
	if err != nil {
		return nil, err //nolint:wrapcheck // Open says what was attempted
	}
	// Only who is root of the machine gets more than the machine's limit.
	if socket.SetReceiveBufferSize(eventBuffer, true) != nil {
		if err := socket.SetReceiveBufferSize(eventBuffer, false); err != nil {
			socket.Close()
			return nil, err //nolint:wrapcheck // Open says what was attempted
		}
	}
	return socket, nil
}

// Watch calls wake, once at first and then whenever something has changed that a plan may depend on: a link in what
// plan.Link says of it; an address of any link, but not when only its lifetime was renewed; a route or a rule that is
// multinic's or on its links; a setting of those; a default route of `main`. Other routes, as pods have them, do not
// wake anyone. Where the kernel had too many events to keep it wakes as well. wake must not block: let it put a value
// into a channel with room for one, so that many events are one.
//
// Watch blocks until the context ends, and then returns nil, or until it cannot listen any more. It can be called once.
func (k *Kernel) Watch(ctx context.Context, wake func()) error {
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		k.events.Close() // Nothing else ends a Receive.
	})
	defer func() {
		if !stop() {
			<-ended
		}
	}()

	for {
		known, err := k.known()
		if err == nil {
			wake()
			err = k.follow(known, wake)
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS):
			// Events were lost: what is known is learnt anew, and whoever waits looks for himself.
		default:
			return fmt.Errorf("listen to the kernel: %w", err)
		}
	}
}

// known reads what later events are compared with.
func (k *Kernel) known() (*known, error) {
	links, err := whole(k.links)
	if err != nil {
		return nil, err
	}
	all, err := whole(k.addresses)
	if err != nil {
		return nil, err
	}
	addresses, _ := byLink(all)
	return newKnown(links, addresses), nil
}

// follow reads events and wakes for those that matter, until it cannot. The error is ENOBUFS when some were lost.
func (k *Kernel) follow(known *known, wake func()) error {
	for {
		messages, from, err := k.events.Receive()
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return err //nolint:wrapcheck // Watch says what was attempted
		case from.Pid != nl.PidKernel:
			continue // Any process may send us something.
		}
		matters := false
		for _, message := range messages {
			matters = known.learn(message) || matters
		}
		if matters {
			wake()
		}
	}
}
