package loop_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"multinic.dev/testbed/node"
)

// pinned calls f in a namespace, on a thread that stays on one processor. Links of namespaces hand what passes them to
// that processor's queue, whose order is that of sending: once the last of several packets is answered, whatever the
// earlier ones were going to cause has been caused.
func pinned(t *testing.T, n *node.Namespace, f func() error) {
	t.Helper()
	err := n.Do(func() error {
		var all, one unix.CPUSet
		if err := unix.SchedGetaffinity(0, &all); err != nil {
			return fmt.Errorf("read the thread's processors: %w", err)
		}
		processor := 0
		for !all.IsSet(processor) {
			processor++
		}
		one.Set(processor)
		// The thread ends with Do, so nobody has to set it free.
		if err := unix.SchedSetaffinity(0, &one); err != nil {
			return fmt.Errorf("keep the thread on processor %d: %w", processor, err)
		}
		return f()
	})
	if err != nil {
		t.Fatalf("send from %s: %v", n.Name(), err)
	}
}

// echoRequest is an ICMP echo request without data (RFC 792): type, code, checksum, identifier, sequence number.
const echoRequest = "\x08\x00\xf7\xff\x00\x00\x00\x00"

// ping sends an echo request to each address, in their order, and waits for nothing. An empty source is bound to no
// address, an empty device to no link.
func ping(t *testing.T, n *node.Namespace, source, device string, to ...string) {
	t.Helper()
	if source == "" {
		source = netip.IPv4Unspecified().String()
	}
	bind := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		if device == "" {
			return nil
		}
		var err error
		controlErr := raw.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), device) })
		return errors.Join(controlErr, err)
	}}
	pinned(t, n, func() error {
		socket, err := bind.ListenPacket(t.Context(), "ip4:icmp", source)
		if err != nil {
			return fmt.Errorf("open a raw socket: %w", err)
		}
		for _, address := range to {
			_, pingErr := socket.WriteTo([]byte(echoRequest), &net.IPAddr{IP: net.ParseIP(address)})
			err = errors.Join(err, pingErr)
		}
		return errors.Join(err, socket.Close())
	})
}

// ask broadcasts an ARP request for each address, in their order, in the name of a host's only address and card.
func ask(t *testing.T, host *node.Host, address string, targets ...string) {
	t.Helper()
	pinned(t, host.Namespace, func() error {
		device, err := net.InterfaceByName(host.Device)
		if err != nil {
			return fmt.Errorf("find the link: %w", err)
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open a packet socket: %w", err)
		}
		for _, target := range targets {
			frame := arpRequest(device.HardwareAddr, netip.MustParseAddr(address), netip.MustParseAddr(target))
			err = errors.Join(err, unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: device.Index}))
		}
		return errors.Join(err, unix.Close(fd))
	})
}

// arpRequest is an Ethernet frame with a request of RFC 826.
func arpRequest(mac net.HardwareAddr, sender, target netip.Addr) []byte {
	frame := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	frame = append(frame, mac...)
	frame = append(frame, 0x08, 0x06, 0, 1, 0x08, 0x00, 6, 4, 0, 1) // ARP; Ethernet, IPv4, lengths of their addresses, request.
	frame = append(frame, mac...)
	frame = append(frame, sender.AsSlice()...)
	frame = append(frame, 0, 0, 0, 0, 0, 0)
	return append(frame, target.AsSlice()...)
}
