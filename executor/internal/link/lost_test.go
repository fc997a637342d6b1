package link

import (
	"context"
	"errors"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"multinic.dev/testbed/node"
)

// TestLostEventsWake has more happen than the kernel keeps for a watcher that does not listen.
func TestLostEventsWake(t *testing.T) {
	n := node.New(t, "node")
	var k *Kernel
	if err := n.Do(func() (err error) {
		k, err = Open("/")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	if err := k.events.SetReceiveBufferSize(4096, false); err != nil {
		t.Fatal(err)
	}
	happen := func() {
		for range 10 {
			n.IP("link", "add", "eth5", "type", "veth", "peer", "name", "eth6")
			n.IP("link", "delete", "eth5")
		}
	}

	// So many events are too many, or the rest proves nothing.
	known, err := k.known()
	if err != nil {
		t.Fatal(err)
	}
	happen()
	if err := k.follow(known, func() {}); !errors.Is(err, unix.ENOBUFS) {
		t.Fatalf("nothing was lost: %v", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	woken := 0
	err = k.Watch(ctx, func() {
		switch woken++; woken {
		case 1:
			happen()
		case 2: // Of what was lost; or of the first events, and then there are more to come.
			n.IP("link", "set", "lo", "mtu", "1400")
		}
		if known, err := k.known(); err != nil || known.links[1].MTU == 1400 {
			cancel()
		}
	})
	if err != nil || woken < 2 {
		t.Errorf("woken %d times, error %v", woken, err)
	}
}

func TestADumpThatWasInterruptedIsMadeAgain(t *testing.T) {
	for _, test := range []struct {
		name        string
		interrupted int
		want        int
		err         error
	}{
		{"never", 0, 1, nil},
		{"twice", 2, 3, nil},
		{"always", mostAttempts + 1, mostAttempts, netlink.ErrDumpInterrupted},
	} {
		t.Run(test.name, func(t *testing.T) {
			attempts := 0
			_, err := whole(func() (string, error) {
				if attempts++; attempts <= test.interrupted {
					return "", netlink.ErrDumpInterrupted
				}
				return "whole", nil
			})
			if attempts != test.want || !errors.Is(err, test.err) {
				t.Errorf("%d attempts, error %v", attempts, err)
			}
		})
	}
}
