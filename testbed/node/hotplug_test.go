package node_test

import (
	"strings"
	"testing"

	"multinic.dev/testbed/node"
	"multinic.dev/testbed/uml"
)

const mac = "02:00:00:00:00:01"

// links is how `ip` words those links of a node that have something in their text, a line each.
func links(n *node.Node, something string) []string {
	var found []string
	for line := range strings.Lines(n.IP("-o", "-d", "link", "show")) {
		if strings.Contains(line, something) {
			found = append(found, line)
		}
	}
	return found
}

func TestACardIsUnpluggedAndPluggedInAgainOnTheSameWire(t *testing.T) {
	w := node.NewWire(t, "wire")
	host := w.AddHost("host", "192.0.2.1/24")
	n := node.New(t, "node")
	nic := n.PlugIn("eth1", mac, w)
	n.IP("link", "set", "eth1", "name", "renamed")
	for _, again := range []string{mac, "02:00:00:00:00:02"} {
		nic.Unplug()
		if got := links(n, "veth"); len(got) != 0 {
			t.Errorf("after it was unplugged: %q", got)
		}
		nic = nic.PlugInAgain("eth7", again)
		if got := links(n, "link/ether "+again); len(got) != 1 || !strings.Contains(got[0], "eth7") || strings.Contains(got[0], ",UP") {
			t.Errorf("after %s was plugged in again: %q", again, got)
		}
	}
	n.IP("address", "add", "192.0.2.7/24", "dev", "eth7")
	n.IP("link", "set", "eth7", "up")
	if out, err := host.Command(t.Context(), "ping", "-c1", "-W20", "192.0.2.7").CombinedOutput(); err != nil {
		t.Errorf("the card's wire is another: %v\n%s", err, out)
	}
}

func TestACableIsPulledAndAnotherNamespaceTakesTheLink(t *testing.T) {
	n, other := node.New(t, "node"), node.New(t, "other")
	nic := n.PlugIn("eth1", mac, nil)
	n.IP("link", "set", "eth1", "up")
	nic.Disconnect()
	if got := links(n, "eth1"); len(got) != 1 || !strings.Contains(got[0], "NO-CARRIER") {
		t.Errorf("without its cable: %q", got)
	}
	nic.Reconnect()
	if got := links(n, "eth1"); len(got) != 1 || strings.Contains(got[0], "NO-CARRIER") {
		t.Errorf("with its cable again: %q", got)
	}
	n.Move("eth1", other.Namespace)
	if here, there := links(n, mac), links(other, mac); len(here) != 0 || len(there) != 1 {
		t.Errorf("moved: here %q, there %q", here, there)
	}
	other.Move("eth1", n.Namespace)
	if here, there := links(n, mac), links(other, mac); len(here) != 1 || len(there) != 0 {
		t.Errorf("moved back: here %q, there %q", here, there)
	}
	nic.Unplug()
}

func TestARestartedNodeHasItsCardsAsTheyWereAtFirstAndNothingElse(t *testing.T) {
	w := node.NewWire(t, "wire")
	host := w.AddHost("host", "192.0.2.1/24")
	n := node.New(t, "node")
	n.PlugIn("eth1", mac, w)
	gone := n.PlugIn("eth2", "02:00:00:00:00:02", nil)
	n.IP("address", "add", "192.0.2.7/24", "dev", "eth1")
	n.IP("link", "set", "eth1", "name", "renamed", "up")
	n.IP("rule", "add", "from", "192.0.2.7", "table", "100", "priority", "1000")
	gone.Unplug()
	n.Restart()
	if got := links(n, "veth"); len(got) != 1 || !strings.Contains(got[0], "eth1@") || !strings.Contains(got[0], mac) || strings.Contains(got[0], ",UP") {
		t.Errorf("after a restart the cards are %q", got)
	}
	if got := n.IP("-o", "-4", "address", "show", "dev", "eth1") + n.IP("rule", "show", "priority", "1000"); got != "" {
		t.Errorf("after a restart there still is %s", got)
	}
	if got := n.IP("link", "show", "lo"); !strings.Contains(got, ",UP") {
		t.Errorf("after a restart the loopback is down: %s", got)
	}
	n.IP("address", "add", "192.0.2.7/24", "dev", "eth1")
	n.IP("link", "set", "eth1", "up")
	if out, err := host.Command(t.Context(), "ping", "-c1", "-W20", "192.0.2.7").CombinedOutput(); err != nil {
		t.Errorf("the card's wire is another: %v\n%s", err, out)
	}
}

func TestTwoLinksHaveOneMAC(t *testing.T) {
	n := node.New(t, "node")
	n.PlugIn("eth1", mac, nil)
	n.PlugIn("eth2", mac, nil)
	if got := links(n, "link/ether "+mac); len(got) != 2 {
		t.Errorf("links with the MAC: %q", got)
	}
}

func TestAHostAnswersForTheAddressesThatItOwns(t *testing.T) {
	w := node.NewWire(t, "wire")
	host := w.AddHost("host", "192.0.2.1/24")
	n := node.New(t, "node")
	n.Underlay("eth0", "02:00:00:00:00:10", "192.0.2.10/24", "192.0.2.1", 100, w)
	answered := func() bool {
		// -W bounds the wait for an answer that never comes.
		return n.Command(t.Context(), "ping", "-c1", "-W1", "192.0.2.77").Run() == nil
	}
	if answered() {
		t.Error("an address that nobody owns answers")
	}
	host.Own("192.0.2.77/32")
	n.IP("neighbour", "flush", "all") // Or what is asked for already is waited for.
	if !answered() {
		t.Error("an address that the host owns does not answer")
	}
	if got := n.IP("neighbour", "show", "192.0.2.77"); !strings.Contains(got, "lladdr 02:00:5e:00:00:00") {
		t.Errorf("the neighbour is %q", got)
	}
	host.Disown("192.0.2.77/32")
	n.IP("neighbour", "flush", "all")
	if answered() {
		t.Error("an address that the host owns no more answers")
	}
}

func TestLinksAreStacked(t *testing.T) {
	n := node.New(t, "node")
	n.PlugIn("eth1", mac, nil)
	n.PlugIn("eth2", "02:00:00:00:00:02", nil)
	n.IP("link", "set", "eth2", "up")
	n.AddBridge("br0", "eth1")
	n.PlugIn("eth3", "02:00:00:00:00:03", nil)
	n.AddMACVLAN("own", "eth2", "bridge")
	n.AddMACVLAN("same", "eth3", "passthru")
	if got := links(n, "master br0"); len(got) != 1 || !strings.Contains(got[0], "eth1") {
		t.Errorf("ports of the bridge: %q", got)
	}
	if got := links(n, "own@eth2"); len(got) != 1 || strings.Contains(got[0], "link/ether 02:00:00:00:00:02") {
		t.Errorf("the macvlan with a MAC of its own: %q", got)
	}
	if got := links(n, "same@eth3"); len(got) != 1 || !strings.Contains(got[0], "link/ether 02:00:00:00:00:03") {
		t.Errorf("the macvlan with the link's MAC: %q", got)
	}
}

func TestVLANsAndBondsAreStackedWhereTheKernelHasThem(t *testing.T) {
	uml.Run(t, func() {
		n := node.New(t, "node")
		for i, name := range []string{"eth1", "eth2", "eth3"} {
			n.PlugIn(name, "02:00:00:00:00:0"+string(rune('1'+i)), nil)
		}
		n.IP("link", "set", "eth3", "up")
		n.AddBond("bond0", "eth1", "eth2")
		n.AddVLAN("vlan7", "eth3", 7)
		if got := links(n, "master bond0"); len(got) != 2 {
			t.Errorf("ports of the bond: %q", got)
		}
		if got := links(n, "vlan7@eth3"); len(got) != 1 || !strings.Contains(got[0], "vlan protocol 802.1Q id 7") || !strings.Contains(got[0], "link/ether 02:00:00:00:00:03") {
			t.Errorf("the VLAN: %q", got)
		}
	})
}
