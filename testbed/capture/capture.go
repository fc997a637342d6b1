// Package capture listens to the packets that pass a link, so that a test can say what went over it and that nothing
// else did.
package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"multinic.dev/testbed/node"
)

// markTimeout is how long a marker may take to be seen. It takes well under a millisecond.
const markTimeout = 30 * time.Second

// receiveBuffer is large enough for thousands of packets between two looks, in bytes.
const receiveBuffer = 8 << 20

// frameLimit is more than any frame of a lab has, in bytes.
const frameLimit = 1 << 16

// Capture collects the ARP and IPv4 packets that pass one link, in either direction, from when it was started.
type Capture struct {
	at     string
	socket *os.File
	marker *marker

	mu      sync.Mutex // guards what follows
	packets []Packet
	marks   uint64
	failed  error
	moved   chan struct{} // closed, and made anew, when any of them has changed
}

// Start listens to a link of a namespace until the test ends. The link may be down, and may be renamed later.
func Start(t node.TB, n *node.Namespace, link string) *Capture {
	t.Helper()
	c := &Capture{at: link + " of " + n.Name(), moved: make(chan struct{})}
	if err := n.Do(func() error { return c.open(link) }); err != nil {
		t.Fatalf("capture at %s: %v", c.at, err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.read()
	}()
	t.Cleanup(func() {
		err := errors.Join(c.socket.Close(), c.marker.socket.Close())
		<-ended
		if err != nil {
			t.Fatalf("end the capture at %s: %v", c.at, err)
		}
	})
	return c
}

// open opens both sockets in the thread's namespace.
func (c *Capture) open(link string) error {
	device, err := net.InterfaceByName(link)
	if err != nil {
		return fmt.Errorf("find the link: %w", err)
	}
	if c.socket, err = listen(device); err != nil {
		return err
	}
	if c.marker, err = newMarker(device); err != nil {
		return errors.Join(err, c.socket.Close())
	}
	return nil
}

// listen opens a packet socket for all that passes a link of the thread's namespace.
func listen(device *net.Interface) (*os.File, error) {
	// Protocol 0: it hears nothing before it is bound, so nothing of other links.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open a packet socket: %w", err)
	}
	// Non-blocking, so that closing the file ends a read.
	socket := os.NewFile(uintptr(fd), "packets of "+device.Name)
	// Only root of the machine gets more than the machine's limit; what is lost then ends the test.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL), Ifindex: device.Index})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen to the link: %w", err), socket.Close())
	}
	return socket, nil
}

// networkOrder is a protocol as packet(7) wants it.
func networkOrder(protocol uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, protocol))
}

func (c *Capture) read() {
	frame := make([]byte, frameLimit)
	decoder := newDecoder()
	for {
		n, err := c.socket.Read(frame)
		switch {
		case errors.Is(err, fs.ErrClosed):
			return
		case errors.Is(err, unix.ENETDOWN):
			continue // The link went down; it is heard again when it comes up.
		case err != nil:
			c.change(func() { c.failed = fmt.Errorf("capture at %s: %w", c.at, err) })
			return
		}
		if number, mark := c.marker.number(frame[:n]); mark {
			c.change(func() { c.marks = number })
		} else if packet, ok := decoder.decode(frame[:n]); ok {
			c.change(func() { c.packets = append(c.packets, packet) })
		}
	}
}

func (c *Capture) change(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
	close(c.moved)
	c.moved = make(chan struct{})
}

// Mark sends a packet that is known over the link, waits until the capture has seen it, and returns all others since
// the last Mark, in their order. So an empty answer means silence, not deafness: whatever passed the link before the
// call is in it. What a peer has yet to send is not: provoke something of it that comes last, and Await that first. A
// capture that may have missed something ends the test. Not safe for concurrent use; the link must be up.
func (c *Capture) Mark(t node.TB) []Packet {
	t.Helper()
	want, err := c.marker.send()
	if err != nil {
		t.Fatalf("mark the capture at %s: %v", c.at, err)
	}
	if !c.until(markTimeout, func() bool { return c.failed != nil || c.marks >= want }) {
		t.Fatalf("the capture at %s has not seen its marker within %v", c.at, markTimeout)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := errors.Join(c.failed, c.lost()); err != nil {
		t.Fatalf("%v", err)
	}
	packets := c.packets
	c.packets = nil
	return packets
}

// Await waits until a packet since the last Mark matches, and returns the first that does; false when none has come in
// time. It is safe for concurrent use, as is match.
func (c *Capture) Await(within time.Duration, match func(Packet) bool) (Packet, bool) {
	var found Packet
	ok := c.until(within, func() bool {
		i := slices.IndexFunc(c.packets, match)
		if i >= 0 {
			found = c.packets[i]
		}
		return i >= 0
	})
	return found, ok
}

// until waits until something is so, which it asks under the lock, and says whether it has come to be so in time.
func (c *Capture) until(within time.Duration, so func() bool) bool {
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	for {
		c.mu.Lock()
		yes, moved := so(), c.moved
		c.mu.Unlock()
		if yes {
			return true
		}
		select {
		case <-moved:
		case <-deadline.C:
			return false
		}
	}
}

// lost asks the kernel whether it had to drop what the capture should have seen.
func (c *Capture) lost() error {
	raw, err := c.socket.SyscallConn()
	if err != nil {
		return fmt.Errorf("ask what the capture at %s has missed: %w", c.at, err)
	}
	var statistics *unix.TpacketStats
	if controlErr := raw.Control(func(fd uintptr) {
		statistics, err = unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS)
	}); controlErr != nil || err != nil {
		return fmt.Errorf("ask what the capture at %s has missed: %w", c.at, errors.Join(controlErr, err))
	}
	if statistics.Drops > 0 {
		return fmt.Errorf("the capture at %s has missed %d packets", c.at, statistics.Drops)
	}
	return nil
}
