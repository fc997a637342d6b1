package plan

import (
	"net/netip"
	"slices"
)

// Kernel is what a node's kernel has, as it was read at one time, as far as it concerns this project: all links, and all
// IPv4 routes and rules of all tables but `local`.
type Kernel struct {
	Links  []Link
	Routes []Route
	Rules  []Rule
	// Elsewhere are the names of the links in other network namespaces that stand on links, by the index of the link below. It
	// matters for cards alone that are about to be taken; see Takes.
	Elsewhere map[int][]string
	// Definitions are what others' configuration of the host says of NICs, and Rival what else configures multinic's NICs here, for
	// people; empty: nothing. They matter for the same cards as Elsewhere.
	Definitions []Definition
	Rival       string
	// TakeDHCP says that a NIC may be taken that has nothing but what a Definition's DHCP has given it which is for all that are alike.
	TakeDHCP bool
	// Ways are those whom the node must go on reaching by the same way; without them nobody's is minded.
	Ways []Way
	// Own are the node's own addresses, as far as they are known beyond those of the links of its default route.
	Own []netip.Addr
	// Persisted is what the next boot of the host makes of multinic's NICs, by their names. Nil, and not merely empty: nothing
	// outlives a boot here, and nothing has to.
	Persisted map[string]Config
}

// Put gives a kernel the surroundings of another reading of it: Elsewhere, Definitions, Rival and TakeDHCP.
func (k *Kernel) Put(around Kernel) {
	k.Elsewhere, k.Definitions, k.Rival, k.TakeDHCP = around.Elsewhere, around.Definitions, around.Rival, around.TakeDHCP
}

// Way is how the node reaches somebody.
type Way struct {
	// Name is for people, such as "the dispatcher".
	Name    string
	Address netip.Addr
	Path    Path
}

// Link is one link. This and what follows is also what the journal keeps, as JSON.
type Link struct {
	// Index is the kernel's.
	Index int    `json:"index,omitempty"`
	Name  string `json:"name,omitempty"`
	// MAC is the permanent address where the link has one, else the current one; six lower-case octets with colons,
	// empty where it has none.
	MAC string `json:"mac,omitempty"`
	// Kind is the kernel's kind of a virtual link, such as "veth" or "vlan"; empty for a physical one.
	Kind string `json:"kind,omitempty"`
	// Loopback says that it is the loopback link.
	Loopback bool `json:"loopback,omitempty"`
	// Master is the index of the bridge, bond or the like that it belongs to; 0: none.
	Master int `json:"master,omitempty"`
	// Lower is the index of the link of this namespace that it stands on, as a VLAN or macvlan does; 0: none.
	Lower int `json:"lower,omitempty"`
	// VLAN is the 802.1Q id of a link of kind "vlan"; 0 for every other.
	VLAN int `json:"vlan,omitempty"`
	// MTU is in bytes.
	MTU int `json:"mtu,omitempty"`
	// Up says that it is administratively up.
	Up bool `json:"up,omitempty"`
	// Addresses are its IPv4 and IPv6 addresses.
	Addresses []Address `json:"addresses,omitempty"`
	// Leased are those of the Addresses that it has for a time only, or by DHCP.
	Leased []netip.Prefix `json:"leased,omitempty"`
	// Settings are those of Settings() that the link has, by their Path, with %s for the name in it. They are read only
	// for links that are named as IsOurName says; nil for all others.
	Settings map[string]string `json:"settings,omitempty"`
}

// LeasedBeside are the link's Leased with the address, if it has it, that it was given by DHCP for good: the kernel knows nothing of that.
func (l Link) LeasedBeside(given netip.Addr) []netip.Prefix {
	leased := slices.Clone(l.Leased)
	for _, address := range l.Addresses {
		if address.Prefix.Addr() == given && !slices.Contains(leased, address.Prefix) {
			leased = append(leased, address.Prefix)
		}
	}
	return leased
}

// Address is one address of a link.
type Address struct {
	Prefix netip.Prefix `json:"prefix"`
	// Peer is the address of the other end of a point-to-point link, whose prefix length then is Prefix's. Invalid: none.
	Peer netip.Addr `json:"peer"`
	// Broadcast is the broadcast address of the subnet, as the address has it. Invalid: none.
	Broadcast netip.Addr `json:"broadcast"`
	// LinkLocal says that its scope is the link, as of fe80::/10.
	LinkLocal bool `json:"linkLocal,omitempty"`
	// HostLocal says that its scope is the host.
	HostLocal bool `json:"hostLocal,omitempty"`
	// NoPrefixRoute says that the kernel made no route for it.
	NoPrefixRoute bool `json:"noPrefixRoute,omitempty"`
}

// Route is one IPv4 route. Routes are comparable with ==.
type Route struct {
	Table int `json:"table,omitempty"`
	// To is the destination; 0.0.0.0/0 for the default.
	To netip.Prefix `json:"to"`
	// Via is the next hop. Invalid: the destination is on the link.
	Via netip.Addr `json:"via"`
	// Source is the preferred source address. Invalid: none.
	Source netip.Addr `json:"source"`
	// Link is the index of the outgoing link; 0: none.
	Link int `json:"link,omitempty"`
	// Metric is the route's priority; a smaller one wins.
	Metric int `json:"metric,omitempty"`
	// TOS is the type of service that traffic must have to be led by it; 0: any.
	TOS int `json:"tos,omitempty"`
	// OnLink says that the next hop is taken to be on the link, though no route says so.
	OnLink bool `json:"onLink,omitempty"`
	// Protocol says who made the route, as in /etc/iproute2/rt_protos.
	Protocol int `json:"protocol,omitempty"`
	// Multipath says that the route has several next hops; it then stands once for each of them.
	Multipath bool `json:"multipath,omitempty"`
}

// replaces says whether a kernel puts a route into the place of another.
func (r Route) replaces(other Route) bool {
	return r.Table == other.Table && r.To == other.To && r.TOS == other.TOS && r.Metric == other.Metric
}

// Rule is one IPv4 routing rule. Rules are comparable with ==.
type Rule struct {
	Preference int `json:"preference,omitempty"`
	// From is the source that it is for. Invalid: any.
	From  netip.Prefix `json:"from"`
	Table int          `json:"table,omitempty"`
	// WithoutDefault says that a default route in the table does not count (suppress_prefixlength 0).
	WithoutDefault bool `json:"withoutDefault,omitempty"`
	// Protocol says who made the rule. A network manager that sets up multinic's own rules, as they are persisted, marks them as
	// static instead of as Protocol; see asOurs.
	Protocol int `json:"protocol,omitempty"`
	// Other says that the rule has conditions or actions that are not in the other fields: it is never one of ours.
	Other bool `json:"other,omitempty"`
}

// Path is the way that a kernel sends traffic which is bound to no address. Paths are comparable with ==. The zero Path: it does
// not send it at all.
type Path struct {
	// Link is the index of the outgoing link.
	Link int
	// Source is the address that the traffic gets.
	Source netip.Addr
	// Via is the next hop. Invalid: the destination is on the link.
	Via netip.Addr
}
