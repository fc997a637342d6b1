package plan

import (
	"net/netip"
	"strconv"
	"strings"
)

// The layout of what is multinic's in a kernel. Whoever changes it strands what an earlier version has set up, so it is
// settled for good.
const (
	// Protocol marks the routes and rules that are multinic's; see /etc/iproute2/rt_protos.
	Protocol = 109
	// MainTable is the kernel's table `main`.
	MainTable = 254
	// SharedTable has the connected routes of all interfaces, for traffic that is bound to no address.
	SharedTable = firstTable - 1

	// Interfaces is how many interfaces a node can have: multinic0 to multinic9.
	Interfaces = 10

	// firstTable is multinic0's own; "mn" in ASCII, so that nobody else has chosen it.
	firstTable = 0x6d6e0000
	// tablesALink is one table for each VLAN id, 0 being the untagged interface.
	tablesALink = 4096
	// maxVLAN is the highest 802.1Q id that is not reserved.
	maxVLAN = 4094

	namePrefix = "multinic"
)

// The preferences of the rules. The first three are each interface's, for traffic from its address: what is near to it,
// what `main` knows better than by its default route, its own gateway. The last two are the node's, just before the
// kernel's own rule for `main` (32766): what `main` knows better than by its default route, what is near to any
// interface. So nothing of ours wins over a route that was there before. Where somebody has a rule of prefShared, both of
// the last two have that preference and come after it (sharedRules).
const (
	prefNear        = 25000
	prefMain        = 25001
	prefOwn         = 25002
	prefMainUnbound = 32764
	prefShared      = 32765
)

// Number is N for "multinicN", and whether the name is one of multinic0 to multinic9.
func Number(name string) (int, bool) {
	digit, ok := strings.CutPrefix(name, namePrefix)
	if !ok || len(digit) != 1 || digit[0] < '0' || digit[0] > '9' {
		return 0, false
	}
	return int(digit[0] - '0'), true
}

// IsOurName says whether a name is one of multinic0 to multinic9, or of a VLAN on one of them.
func IsOurName(name string) bool {
	base, vlan, tagged := strings.Cut(name, ".")
	if _, ours := Number(base); !ours || !tagged {
		return ours
	}
	id, err := strconv.Atoi(vlan)
	return err == nil && id >= 1 && id <= maxVLAN && vlan == strconv.Itoa(id)
}

// IsOurTable says whether a routing table is multinic's: an interface's own, or the shared one.
func IsOurTable(table int) bool {
	return table >= SharedTable && table < firstTable+Interfaces*tablesALink
}

// IsOurPreference says whether a preference is one of those that multinic's rules have.
func IsOurPreference(preference int) bool {
	return isAnInterfaces(preference) || preference == prefMainUnbound || preference == prefShared
}

func isAnInterfaces(preference int) bool { return preference >= prefNear && preference <= prefOwn }

func nameOf(number int) string { return namePrefix + strconv.Itoa(number) }

// NameOf is the name of an interface of a NIC with a name: of the NIC itself, or of the VLAN on it.
func NameOf(nic string, vlan int) string {
	if vlan == 0 {
		return nic
	}
	return nic + "." + strconv.Itoa(vlan)
}

// place is where an interface has its routes: N of its NIC's name, and its VLAN id.
type place struct{ number, vlan int }

// table is the interface's own.
func (p place) table() int { return firstTable + p.number*tablesALink + p.vlan }

// metric keeps apart, in the shared table, the routes of interfaces in one subnet.
func (p place) metric() int { return p.number*tablesALink + p.vlan + 1 }

// isOfNIC says whether a table is one of the NIC multinicN or of one of its VLANs.
func isOfNIC(table, number int) bool {
	return table >= firstTable+number*tablesALink && table < firstTable+(number+1)*tablesALink
}

// Setting is a setting that every interface has.
type Setting struct {
	// Path is below /proc/sys/net; %s stands for the interface's name.
	Path  string
	Value string
	// Optional says that a kernel without IPv6, or a link with an MTU below IPv6's least, has no such setting.
	Optional bool
}

// Settings are those of every interface. With several NICs in one subnet each must answer ARP for its own address
// alone, and ask with it; replies may come in by a NIC that is not the way back. No router on a NIC's wire may give the
// node a default route.
func Settings() []Setting {
	return []Setting{
		{Path: "ipv4/conf/%s/arp_ignore", Value: "1"},
		{Path: "ipv4/conf/%s/arp_announce", Value: "2"},
		{Path: "ipv4/conf/%s/rp_filter", Value: "2"},
		{Path: "ipv6/conf/%s/accept_ra", Value: "0", Optional: true},
	}
}

// near is what is next to an interface, and whether anything is: its subnet or, of a subnet of one, its gateway alone.
func (s Spec) near() (near netip.Prefix, is bool) {
	switch {
	case !s.Address.IsValid():
		return netip.Prefix{}, false
	case !s.Address.Masked().IsSingleIP():
		return s.Address.Masked(), true
	case s.Gateway.IsValid():
		return netip.PrefixFrom(s.Gateway, s.Gateway.BitLen()), true
	}
	return netip.Prefix{}, false
}

// wantedRoutes are the routes of an interface, in an order in which the kernel takes them: a gateway must be near.
func wantedRoutes(spec Spec, at place, link int) []Route {
	if !spec.Address.IsValid() {
		return nil
	}
	source := spec.Address.Addr()
	near, isNear := spec.near()
	if !isNear {
		return nil
	}
	own := at.table()
	routes := []Route{{Table: own, To: near, Source: source, Link: link, Protocol: Protocol}}
	if spec.Gateway.IsValid() {
		// That the gateway is on the link nobody has to find out: whoever sets the routes up may do so in any order.
		routes = append(routes, Route{Table: own, To: everywhere(), Via: spec.Gateway, Source: source, Link: link, Protocol: Protocol, OnLink: true})
	}
	// Two interfaces in one subnet have the same destination here; the metric keeps their routes apart.
	return append(routes, Route{Table: SharedTable, To: near, Source: source, Link: link, Metric: at.metric(), Protocol: Protocol})
}

// wantedRules are the rules of an interface.
func wantedRules(spec Spec, at place) []Rule {
	if !spec.Address.IsValid() {
		return nil
	}
	from := netip.PrefixFrom(spec.Address.Addr(), spec.Address.Addr().BitLen())
	return []Rule{
		{Preference: prefNear, From: from, Table: at.table(), WithoutDefault: true, Protocol: Protocol},
		{Preference: prefMain, From: from, Table: MainTable, WithoutDefault: true, Protocol: Protocol},
		{Preference: prefOwn, From: from, Table: at.table(), Protocol: Protocol},
	}
}

// everywhere is the destination of a default route.
func everywhere() netip.Prefix { return netip.PrefixFrom(netip.IPv4Unspecified(), 0) }
