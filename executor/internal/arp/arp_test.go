package arp_test

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"multinic.dev/executor/internal/arp"
	"multinic.dev/executor/internal/transaction"
	"multinic.dev/testbed/node"
	"multinic.dev/testbed/sandbox"
)

func TestMain(m *testing.M) { sandbox.Main(m) }

const (
	macA = "02:00:00:00:00:0a"
	macB = "02:00:00:00:00:0b"
)

// stage is a node with two cards on one wire, and a host on it.
func stage(t *testing.T) (n *node.Node, host *node.Host) {
	t.Helper()
	n = node.New(t, "node")
	w := node.NewWire(t, "wire")
	host = w.AddHost("host", "192.0.2.1/24")
	for name, mac := range map[string]string{"eth1": macA, "eth2": macB} {
		n.PlugIn(name, mac, w)
		n.IP("link", "set", name, "up")
	}

	return n, host
}

// inUse asks for addresses on a link of a node, and says which are in use.
func inUse(ctx context.Context, t *testing.T, n *node.Node, link string, own []string, addresses ...string) []bool {
	t.Helper()
	var used []bool
	err := n.Do(func() error {
		card, err := net.InterfaceByName(link)
		if err != nil {
			return err
		}
		var wanted []transaction.Wanted
		for _, address := range addresses {
			wanted = append(wanted, transaction.Wanted{Link: card.Index, Address: netip.MustParseAddr(address)})
		}
		holders, err := arp.Prober{}.InUse(ctx, wanted, own)
		for _, holder := range holders {
			used = append(used, holder != "")
		}

		return err
	})
	if err != nil {
		t.Fatal(err)
	}

	return used
}

func TestAnAddressThatAnotherHostHasIsFound(t *testing.T) {
	n, _ := stage(t)
	got := inUse(t.Context(), t, n, "eth1", nil, "192.0.2.1", "192.0.2.99", "192.0.2.98")
	if want := []bool{true, false, false}; !slices.Equal(got, want) {
		t.Errorf("in use: %v, want %v", got, want)
	}
}

// TestWhatTheNodeItselfHasIsNotInUse has the address on its other card, as when two are exchanged.
func TestWhatTheNodeItselfHasIsNotInUse(t *testing.T) {
	n, _ := stage(t)
	n.IP("address", "add", "192.0.2.20/24", "dev", "eth2")
	for _, test := range []struct {
		own  []string
		want bool
	}{{[]string{macA, macB}, false}, {nil, true}} {
		if got := inUse(t.Context(), t, n, "eth1", test.own, "192.0.2.20"); got[0] != test.want {
			t.Errorf("own %v: in use %v", test.own, got)
		}
	}
}

// TestTwoWhoWantAnAddressAtTheSameTimeHearOfEachOther has a second node that probes as well, all the time.
func TestTwoWhoWantAnAddressAtTheSameTimeHearOfEachOther(t *testing.T) {
	n, _ := stage(t)
	other := node.New(t, "other")
	w := n.PlugIn("eth3", "02:00:00:00:00:0c", nil).Wire()
	n.IP("link", "set", "eth3", "up")
	other.PlugIn("eth1", "02:00:00:00:00:0d", w)
	other.IP("link", "set", "eth1", "up")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			inUse(ctx, t, other, "eth1", nil, "192.0.2.30")
		}
	}()
	if got := inUse(t.Context(), t, n, "eth3", nil, "192.0.2.30", "192.0.2.31"); !got[0] || got[1] {
		t.Errorf("in use: %v", got)
	}
	cancel()
	<-ended
}

func TestOfALinkThatIsDownOrGoneNothingIsHeard(t *testing.T) {
	n, _ := stage(t)
	n.IP("link", "set", "eth1", "down")
	if got := inUse(t.Context(), t, n, "eth1", nil, "192.0.2.1"); got[0] {
		t.Error("in use on a link that is down")
	}
	err := n.Do(func() error {
		holders, err := arp.Prober{}.InUse(t.Context(), []transaction.Wanted{{Link: 1000, Address: netip.MustParseAddr("192.0.2.1")}}, nil)
		if holders[0] != "" {
			t.Error("in use on a link that is gone")
		}

		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestAnEndedContextEndsTheProbe(t *testing.T) {
	n, _ := stage(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	began := time.Now()
	inUse(ctx, t, n, "eth1", nil, "192.0.2.99")
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestANeighbourAnswersOrDoesNot(t *testing.T) {
	n, host := stage(t)
	n.IP("address", "add", "192.0.2.5/24", "dev", "eth1")
	answers := func(address string) (answered bool) {
		err := n.Do(func() error {
			card, err := net.InterfaceByName("eth1")
			if err != nil {
				return err
			}
			answered, err = arp.Answers(t.Context(), card.Index, netip.MustParseAddr("192.0.2.5"), netip.MustParseAddr(address))

			return err
		})
		if err != nil {
			t.Fatal(err)
		}

		return answered
	}
	if !answers("192.0.2.1") || answers("192.0.2.77") {
		t.Error("the host does not answer, or nobody does")
	}
	host.IP("link", "set", host.Device, "arp", "off")
	if answers("192.0.2.1") {
		t.Error("a host that answers no ARP has answered")
	}
}
