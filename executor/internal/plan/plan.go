// Package plan decides what must change in a node's kernel so that its interfaces become what the dispatcher asks for.
package plan

import (
	"net/netip"
	"slices"
)

// Key identifies an interface: the permanent MAC address of its NIC, six lower-case octets with colons, and its VLAN
// id, 0 for the untagged interface.
type Key struct {
	MAC  string
	VLAN int
}

// Spec is what an interface should be. Specs are comparable with ==.
type Spec struct {
	// Address is the address with its prefix length. Invalid: none; then there is no gateway either.
	Address netip.Prefix `json:"address"`
	// Gateway is the next hop of what leaves from Address to elsewhere. Invalid: none.
	Gateway netip.Addr `json:"gateway"`
	// MTU is in bytes. 0: whatever the link has.
	MTU int `json:"mtu,omitempty"`
}

// Item is one interface that the node should have.
type Item struct {
	Key  Key
	Spec Spec
}

// Claims are the NICs that are multinic's by their permanent MAC addresses, as the disk has them. No two have one name.
type Claims map[string]Claim

// Claim is one NIC that is multinic's.
type Claim struct {
	// Name is the NIC's, such as "multinic0".
	Name string
	// VLANs are the interfaces of it that are multinic's; 0 is the untagged one.
	VLANs []int
}

// has says whether an interface is claimed.
func (c Claims) has(key Key) bool { return slices.Contains(c[key.MAC].VLANs, key.VLAN) }

// Obstacle says why an item cannot be carried out as things are. Nothing is touched for it.
type Obstacle int

// The obstacles.
const (
	// None: there is no obstacle.
	None Obstacle = iota
	// LinkNotFound: no link of the node has the MAC address.
	LinkNotFound
	// LinkAmbiguous: more than one physical link has it.
	LinkAmbiguous
	// LinkInUse: the link is not ours and carries an address, a route, a master or an upper device.
	LinkInUse
	// NoFreeName: all of multinic0 to multinic9 are taken.
	NoFreeName
	// NameInUse: the interface's name, or its VLAN id on its NIC, is that of a link which keeps it.
	NameInUse
	// SpecInvalid: the spec contradicts itself or asks for what no interface can be.
	SpecInvalid
	// SubnetConflict: the spec's subnet would take over the node's own addresses or its way to its gateway, or its address
	// is another link's or another item's.
	SubnetConflict
)

// Decision is what becomes of one item.
type Decision struct {
	Item Item
	// Obstacle is None when the item can be carried out; Message then is empty, else one sentence for people: what is
	// in the way, of what, what to do about it.
	Obstacle Obstacle
	Message  string
	// Name is the interface's name, such as "multinic0" or "multinic0.5": the one on disk, or the one that it will get.
	// Empty where there is an obstacle and no name on disk.
	Name string
	// NIC is the name of its NIC, such as "multinic0"; empty when Name is.
	NIC string
	// Card is the index of the link with the MAC; 0: there is none, or more than one.
	Card int
	// Link is the index of the link that is the interface: the card itself, or the VLAN on it; 0: there is none.
	Link int
	// Stub is the Definition by whose DHCP the card has what it has, and to which it must be lost; nil: there is none.
	Stub *Definition
	// Changes make the kernel what the item asks for, in this order. Empty without an obstacle: it is so already. Those
	// of the card stand in the decisions of its VLANs as well.
	Changes []Change
}

// Plan is what becomes of all items.
type Plan struct {
	// Decisions has one decision an item, in the order of the items.
	Decisions []Decision
	// Shared are the changes of what belongs to no single interface: the rules for traffic bound to no address. They
	// come after those of the decisions.
	Shared []Change
}
