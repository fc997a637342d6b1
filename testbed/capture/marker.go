package capture

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// markerType is the EtherType of markers: one for local experiments (IEEE 802), which no host understands.
const markerType = 0x88b5

// marker makes packets whose place among the others of a link is known. It belongs to one goroutine, but for number.
type marker struct {
	// socket is another than the capture's: a packet socket does not hear what it sends itself.
	socket *os.File
	// start is the frame up to its number. It has a name of the capture's own, since markers of others may pass the link.
	start []byte
	sent  uint64
}

// newMarker opens a socket for markers on a link of the thread's namespace.
func newMarker(device *net.Interface) (*marker, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open a packet socket for markers: %w", err)
	}
	m := &marker{socket: os.NewFile(uintptr(fd), "markers of "+device.Name)}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: device.Index}); err != nil {
		return nil, errors.Join(fmt.Errorf("bind the markers' socket to the link: %w", err), m.socket.Close())
	}
	// No card has the destination, so whomever the frame reaches drops it.
	m.start = append([]byte{0x02, 0, 0x5e, 0xff, 0xff, 0xff}, device.HardwareAddr...)
	m.start = binary.BigEndian.AppendUint16(m.start, markerType)
	m.start = append(m.start, rand.Text()...)
	return m, nil
}

// send sends the next marker and returns its number.
func (m *marker) send() (uint64, error) {
	m.sent++
	_, err := m.socket.Write(binary.BigEndian.AppendUint64(bytes.Clone(m.start), m.sent))
	return m.sent, err
}

// number is that of a frame, if it is one of these markers.
func (m *marker) number(frame []byte) (uint64, bool) {
	rest, ours := bytes.CutPrefix(frame, m.start)
	if !ours || len(rest) < 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(rest), true
}
