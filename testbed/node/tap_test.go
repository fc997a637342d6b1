package node_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"multinic.dev/testbed/node"
)

func TestATapHearsItsWireUntilItIsClosed(t *testing.T) {
	if _, err := os.Stat("/dev/net/tun"); errors.Is(err, fs.ErrNotExist) {
		t.Skip("this machine has no /dev/net/tun")
	}
	wire := node.NewWire(t, "wire")
	peer := wire.AddHost("peer", "192.0.2.1/24")
	tap := wire.NewTap()
	ping := peer.Command(t.Context(), "ping", "-c1", "-W1", "192.0.2.9")
	if err := ping.Start(); err != nil {
		t.Fatal(err)
	}
	_ = tap.SetReadDeadline(time.Now().Add(10 * time.Second))
	frame := make([]byte, 2000)
	for {
		n, err := tap.Read(frame)
		if err != nil {
			t.Fatal(err)
		}
		// Ten bytes of virtio's, two addresses, and ARP's number.
		if n > 24 && bytes.Equal(frame[10:16], []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}) && frame[22] == 8 && frame[23] == 6 {
			break
		}
	}
	_ = ping.Wait() // Nobody answers.
	if err := tap.Close(); err != nil {
		t.Error(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		if _, err := wire.TryIP("link", "show", tap.Port()); err != nil && strings.Contains(err.Error(), "does not exist") {
			return
		} else if time.Now().After(deadline) {
			t.Fatalf("the wire's port is still there: %v", err)
		}
	}
}
