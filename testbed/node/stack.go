package node

import "strconv"

// What nodes build on top of their links. Each is up when it has been made; the links below are left as they are, but
// for their master. VLANs and bonds need a kernel that has them: see the package uml.

// AddBridge gives the node a bridge with links as its ports.
func (n *Node) AddBridge(name string, ports ...string) {
	n.t.Helper()
	n.IP("link", "add", name, "type", "bridge")
	for _, port := range ports {
		n.IP("link", "set", port, "master", name)
	}
	n.IP("link", "set", name, "up")
}

// AddBond gives the node a bond with links as its ports, which must be down and are then up. Their MAC becomes the
// first one's, as a bond has it; what they had is their permanent address, in kinds that know one.
func (n *Node) AddBond(name string, ports ...string) {
	n.t.Helper()
	n.IP("link", "add", name, "type", "bond", "mode", "active-backup")
	for _, port := range ports {
		n.IP("link", "set", port, "master", name)
	}
	n.IP("link", "set", name, "up")
}

// AddMACVLAN gives the node a macvlan on top of a link, in a mode of ip-link(8): in most it has a MAC of its own; in
// "passthru" it is alone on the link, and has the link's.
func (n *Node) AddMACVLAN(name, on, mode string) {
	n.t.Helper()
	n.IP("link", "add", "link", on, "name", name, "type", "macvlan", "mode", mode)
	n.IP("link", "set", name, "up")
}

// AddVLAN gives the node a VLAN on top of a link, which must be up. It has the link's MAC.
func (n *Node) AddVLAN(name, on string, id int) {
	n.t.Helper()
	n.IP("link", "add", "link", on, "name", name, "type", "vlan", "id", strconv.Itoa(id))
	n.IP("link", "set", name, "up")
}
