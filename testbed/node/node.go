// Package node makes the nodes, wires and hosts that tests configure, out of network namespaces and veth pairs.
package node

import (
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
)

// Node is a network namespace that stands for a Kubernetes node.
type Node struct {
	*Namespace

	mu    sync.Mutex // guards cards
	cards []*NIC     // what is plugged in, in the order in which it was
}

// New makes a node that has nothing but its loopback. The name must be unique in the sandbox. Its links will not ask
// around for a second or two whether their own IPv6 address is free, so that nothing happens to them long after a test
// has brought them up.
func New(t TB, name string) *Node {
	t.Helper()
	n := &Node{Namespace: newNamespace(t, name)}
	n.settleAtOnce()
	return n
}

func (n *Node) settleAtOnce() {
	n.t.Helper()
	if n.hasIPv6() {
		n.Set("net/ipv6/conf/default/accept_dad", "0")
	}
}

// Wire is an Ethernet segment: a bridge in a namespace of its own.
type Wire struct {
	*Namespace

	ports atomic.Int32
}

// NewWire makes a segment that nothing is plugged into yet.
func NewWire(t TB, name string) *Wire {
	t.Helper()
	w := &Wire{Namespace: newNamespace(t, name)}
	// The segment itself has no business with IPv6, and says nothing that a capture would show.
	w.Set("net/ipv6/conf/all/disable_ipv6", "1")
	w.Set("net/ipv6/conf/default/disable_ipv6", "1")
	w.IP("link", "add", "br0", "type", "bridge", "stp_state", "0", "mcast_snooping", "0", "forward_delay", "0")
	w.IP("link", "set", "br0", "up")
	return w
}

// Set writes a setting of the namespace; name is its path below /proc/sys. An error ends the test.
func (n *Namespace) Set(name, value string) {
	n.t.Helper()
	err := n.Do(func() error { return os.WriteFile("/proc/sys/"+name, []byte(value), 0o600) })
	if err != nil {
		n.t.Fatalf("in %s: set %s to %s: %v", n.name, name, value, err)
	}
}

// NIC is a network card of a node: the end of a veth pair whose other end is on a wire.
type NIC struct {
	node *Node
	wire *Wire
	name string // as the kernel names it whenever it appears
	port string
	// MAC is its address, as it was given.
	MAC string
}

// PlugIn gives the node a card with a name and a MAC address: down, and without any configuration. Without a wire it
// gets one to itself.
func (n *Node) PlugIn(name, mac string, w *Wire) *NIC {
	n.t.Helper()
	if w == nil {
		w = NewWire(n.t, n.name+"-"+name)
	}
	nic := &NIC{node: n, wire: w, name: name, port: w.connect(n.Namespace, name, mac), MAC: mac}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cards = append(n.cards, nic)
	return nic
}

// connect makes a veth pair between a namespace and the wire, and returns the name of the wire's end.
func (w *Wire) connect(n *Namespace, name, mac string) string {
	w.t.Helper()
	port := "port" + strconv.Itoa(int(w.ports.Add(1)))
	n.IP("link", "add", name, "address", mac, "type", "veth", "peer", "name", port, "netns", w.name)
	w.IP("link", "set", port, "master", "br0", "up")
	return port
}

// Host is a peer: it answers ARP and pings for its address.
type Host struct {
	*Namespace

	// Device is the name of its one link.
	Device string
}

// AddHost puts a host with an address, such as "192.0.2.1/24", on the wire.
func (w *Wire) AddHost(name, cidr string) *Host {
	w.t.Helper()
	h := &Host{Namespace: newNamespace(w.t, name), Device: "eth0"}
	n := w.ports.Load()
	w.connect(h.Namespace, h.Device, fmt.Sprintf("02:00:5e:00:%02x:%02x", n/256, n%256))
	h.IP("address", "add", cidr, "dev", h.Device)
	h.IP("link", "set", h.Device, "up")
	return h
}

// Own gives the host a further address, such as "192.0.2.7/32": it answers ARP for it from then on.
func (h *Host) Own(cidr string) {
	h.t.Helper()
	h.IP("address", "add", cidr, "dev", h.Device)
}

// Disown takes an address of the host away.
func (h *Host) Disown(cidr string) {
	h.t.Helper()
	h.IP("address", "delete", cidr, "dev", h.Device)
}

// Underlay gives the node the network that it is reached by: a card with an address, and the subnet's and the default
// route with a metric, as DHCP clients leave them. Nothing of it is still to come when it returns.
func (n *Node) Underlay(name, mac, cidr, gateway string, metric int, w *Wire) *NIC {
	n.t.Helper()
	nic := n.PlugIn(name, mac, w)
	n.IP("address", "add", cidr, "dev", name, "noprefixroute")
	n.BringUp(name)
	n.IP("route", "add", subnet(n.t, cidr), "dev", name, "scope", "link", "src", host(cidr), "metric", strconv.Itoa(metric))
	n.IP("route", "add", "default", "via", gateway, "dev", name, "src", host(cidr), "metric", strconv.Itoa(metric))
	return nic
}
