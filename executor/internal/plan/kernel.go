package plan

import (
	"net/netip"
)

// Kernel is what a node's kernel has, as it was read at one time, as far as it concerns this project: all links, and all
// IPv4 routes and rules of all tables but `local`.
type Kernel struct {
	Links  []Link
	Routes []Route
	Rules  []Rule
}

// Link is one link.
type Link struct {
	// Index is the kernel's.
	Index int
	Name  string
	// MAC is the permanent address where the link has one, else the current one; six lower-case octets with colons,
	// empty where it has none.
	MAC string
	// Kind is the kernel's kind of a virtual link, such as "veth" or "vlan"; empty for a physical one.
	Kind string
	// Loopback says that it is the loopback link.
	Loopback bool
	// Master is the index of the bridge, bond or the like that it belongs to; 0: none.
	Master int
	// Lower is the index of the link of this namespace that it stands on, as a VLAN or macvlan does; 0: none.
	Lower int
	// MTU is in bytes.
	MTU int
	// Up says that it is administratively up.
	Up bool
	// Addresses are its IPv4 and IPv6 addresses.
	Addresses []Address
	// Settings are those of Settings() that the link has, by their Path, with %s for the name in it. They are read only
	// for links that are named multinic0 to multinic9; nil for all others.
	Settings map[string]string
}

// Address is one address of a link.
type Address struct {
	Prefix netip.Prefix
	// Peer is the address of the other end of a point-to-point link, whose prefix length then is Prefix's. Invalid: none.
	Peer netip.Addr
	// LinkLocal says that its scope is the link, as of fe80::/10.
	LinkLocal bool
	// NoPrefixRoute says that the kernel made no route for it.
	NoPrefixRoute bool
}

// Route is one IPv4 route. Routes are comparable with ==.
type Route struct {
	Table int
	// To is the destination; 0.0.0.0/0 for the default.
	To netip.Prefix
	// Via is the next hop. Invalid: the destination is on the link.
	Via netip.Addr
	// Source is the preferred source address. Invalid: none.
	Source netip.Addr
	// Link is the index of the outgoing link; 0: none.
	Link int
	// Metric is the route's priority; a smaller one wins.
	Metric int
	// Protocol says who made the route, as in /etc/iproute2/rt_protos.
	Protocol int
	// Multipath says that the route has several next hops; it then stands once for each of them.
	Multipath bool
}

// Rule is one IPv4 routing rule. Rules are comparable with ==.
type Rule struct {
	Preference int
	// From is the source that it is for. Invalid: any.
	From  netip.Prefix
	Table int
	// WithoutDefault says that a default route in the table does not count (suppress_prefixlength 0).
	WithoutDefault bool
	// Protocol says who made the rule.
	Protocol int
	// Other says that the rule has conditions or actions that are not in the other fields: it is never one of ours.
	Other bool
}
