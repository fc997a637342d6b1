package node

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Tap is an end of a cable that is on a wire, whose other end is a file: whoever reads it has what the wire sends, and
// whoever writes it sends. When the file is closed for the last time the tap is gone.
type Tap struct {
	*os.File

	wire *Wire
	port string
}

// NewTap puts a tap on the wire.
func (w *Wire) NewTap() *Tap {
	w.t.Helper()
	tap := &Tap{wire: w, port: "port" + strconv.Itoa(int(w.ports.Add(1)))}
	if err := w.Do(tap.open); err != nil {
		w.t.Fatalf("put a tap on the wire %s: %v", w.name, err)
	}
	w.IP("link", "set", tap.port, "master", "br0", "up")
	return tap
}

// open makes the tap in the namespace that it is called in.
func (tap *Tap) open() error {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("open /dev/net/tun: %w", err)
	}
	request, err := unix.NewIfreq(tap.port)
	if err == nil {
		// With the header of virtio's in front of frames, which qemu then need not write itself.
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		_ = unix.Close(fd)
		return fmt.Errorf("make a tap of it: %w", err)
	}
	tap.File = os.NewFile(uintptr(fd), tap.port)
	return nil
}

// Port is the name of the tap's link on the wire.
func (tap *Tap) Port() string { return tap.port }

// Wire is what the tap is on.
func (tap *Tap) Wire() *Wire { return tap.wire }
