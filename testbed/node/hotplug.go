package node

import (
	"slices"

	"github.com/vishvananda/netns"
)

// Unplug takes the card away: the node's link vanishes, whatever its name is by now.
func (nic *NIC) Unplug() {
	nic.node.t.Helper()
	nic.node.mu.Lock()
	nic.node.cards = slices.DeleteFunc(nic.node.cards, func(other *NIC) bool { return other == nic })
	nic.node.mu.Unlock()
	nic.wire.IP("link", "delete", nic.port)
}

// Restart gives the node a kernel that has just started: nothing of what was configured is left, and the cards that
// were plugged in are there as they were at first, each on its wire. Whatever still has to do with the kernel of before,
// a monitor of it among it, hears nothing of the new one. Its pods are gone.
func (n *Node) Restart() {
	n.t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, nic := range n.cards {
		nic.wire.IP("link", "delete", nic.port)
	}
	if err := netns.DeleteNamed(n.name); err != nil {
		n.t.Fatalf("delete the network namespace %s: %v", n.name, err)
	}
	n.create()
	n.settleAtOnce()
	for _, nic := range n.cards {
		nic.port = nic.wire.connect(n.Namespace, nic.name, nic.MAC)
	}
}

// PlugInAgain plugs a card into the place of one that was unplugged, on the same wire: the same card if the MAC is, or
// another. As a kernel does, it comes down, without any configuration, and with another index.
func (nic *NIC) PlugInAgain(name, mac string) *NIC {
	nic.node.t.Helper()
	return nic.node.PlugIn(name, mac, nic.wire)
}

// Port is the name of the wire's end of the card's cable.
func (nic *NIC) Port() string { return nic.port }

// Disconnect pulls the card's cable: the link stays, without a carrier.
func (nic *NIC) Disconnect() {
	nic.node.t.Helper()
	nic.wire.IP("link", "set", nic.port, "down")
}

// Reconnect plugs the cable in again.
func (nic *NIC) Reconnect() {
	nic.node.t.Helper()
	nic.wire.IP("link", "set", nic.port, "up")
}

// Move gives a link to another namespace, as a container takes one, or gives it back. In the former it vanishes; in the
// latter it is down, and has lost its addresses and routes.
func (n *Namespace) Move(link string, to *Namespace) {
	n.t.Helper()
	n.IP("link", "set", link, "netns", to.name)
}

// Wire is what the card is plugged into.
func (nic *NIC) Wire() *Wire { return nic.wire }
