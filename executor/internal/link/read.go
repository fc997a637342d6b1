package link

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"multinic.dev/executor/internal/plan"
)

// mostAttempts is how often a dump that a change has interrupted is begun. Pods that come and go interrupt one now and
// then; this many in a row mean that something is wrong.
const mostAttempts = 20

// Read reads what the kernel has. The parts are read one after another: what changes in between may be in one and not in
// another, and wakes Watch.
func (k *Kernel) Read(ctx context.Context) (plan.Kernel, error) {
	if ctx.Err() != nil {
		return plan.Kernel{}, fmt.Errorf("read the node's kernel: %w", context.Cause(ctx))
	}
	links, err := whole(k.links)
	if err != nil {
		return plan.Kernel{}, fmt.Errorf("read the node's links: %w", err)
	}
	all, err := whole(k.addresses)
	if err != nil {
		return plan.Kernel{}, fmt.Errorf("read the node's addresses: %w", err)
	}
	routes, err := whole(k.routes)
	if err != nil {
		return plan.Kernel{}, fmt.Errorf("read the node's routes: %w", err)
	}
	rules, err := whole(k.rules)
	if err != nil {
		return plan.Kernel{}, fmt.Errorf("read the node's routing rules: %w", err)
	}
	addresses, leased := byLink(all)
	for i := range links {
		link := &links[i]
		link.Addresses, link.Leased = addresses[link.Index], leased[link.Index]
		if !plan.IsOurName(link.Name) {
			continue
		}
		if link.Settings, err = k.Settings(link.Name); err != nil {
			return plan.Kernel{}, err
		}
	}
	return plan.Kernel{Links: links, Routes: routes, Rules: rules}, nil
}

// whole repeats a dump until nothing has changed while it was made: else entries may be in it twice or not at all.
func whole[T any](dump func() (T, error)) (T, error) {
	for attempt := 1; ; attempt++ {
		all, err := dump()
		if !errors.Is(err, netlink.ErrDumpInterrupted) || attempt == mostAttempts {
			return all, err
		}
	}
}

func (k *Kernel) links() ([]plan.Link, error) {
	all, err := k.handle.LinkList()
	if err != nil {
		return nil, err //nolint:wrapcheck // Read says what was attempted
	}
	links := make([]plan.Link, len(all))
	for i, one := range all {
		links[i] = linkOf(one)
	}
	return links, nil
}

// linkOf is a link without its addresses and settings.
func linkOf(one netlink.Link) plan.Link {
	attributes := one.Attrs()
	link := plan.Link{
		Index: attributes.Index, Name: attributes.Name, Kind: one.Type(), Master: attributes.MasterIndex, MTU: attributes.MTU,
		Loopback: attributes.Flags&net.FlagLoopback != 0, Up: attributes.Flags&net.FlagUp != 0,
	}
	if _, physical := one.(*netlink.Device); physical {
		link.Kind = ""
	}
	if vlan, tagged := one.(*netlink.Vlan); tagged {
		link.VLAN = vlan.VlanId
	}
	mac := attributes.PermHWAddr
	if len(mac) == 0 {
		mac = attributes.HardwareAddr
	}
	if len(mac) == macLength {
		link.MAC = mac.String()
	}
	switch one.Type() {
	case "veth", "netkit":
		// What the kernel says there is the other end, which the link does not stand on.
	default:
		// The index means nothing here when that link is in another namespace.
		if attributes.NetNsID < 0 && attributes.ParentIndex != attributes.Index {
			link.Lower = attributes.ParentIndex
		}
	}
	return link
}

// macLength is the length of an Ethernet address, in bytes.
const macLength = 6

func (k *Kernel) addresses() ([]netlink.Addr, error) {
	return k.handle.AddrList(nil, netlink.FAMILY_ALL) //nolint:wrapcheck // Read says what was attempted
}

// byLink are addresses by the index of their link, and those that it has for a time only.
func byLink(all []netlink.Addr) (addresses map[int][]plan.Address, leased map[int][]netip.Prefix) {
	addresses, leased = map[int][]plan.Address{}, map[int][]netip.Prefix{}
	for _, one := range all {
		address, ok := addressOf(one)
		if !ok {
			continue
		}
		addresses[one.LinkIndex] = append(addresses[one.LinkIndex], address)
		if one.Flags&unix.IFA_F_PERMANENT == 0 {
			leased[one.LinkIndex] = append(leased[one.LinkIndex], address.Prefix)
		}
	}
	return addresses, leased
}

func addressOf(one netlink.Addr) (plan.Address, bool) {
	if one.IPNet == nil {
		return plan.Address{}, false
	}
	address := plan.Address{
		Prefix:        prefixOf(one.IPNet),
		LinkLocal:     one.Scope == unix.RT_SCOPE_LINK,
		HostLocal:     one.Scope == unix.RT_SCOPE_HOST,
		NoPrefixRoute: one.Flags&unix.IFA_F_NOPREFIXROUTE != 0,
	}
	if one.IP.To4() != nil && len(one.Broadcast) > 0 {
		address.Broadcast = addrOf(one.Broadcast)
	}
	if one.Peer != nil && one.Peer.IP != nil && !one.Peer.IP.Equal(one.IP) {
		peer := prefixOf(one.Peer)
		address.Prefix, address.Peer = netip.PrefixFrom(address.Prefix.Addr(), peer.Bits()), peer.Addr()
	}
	return address, address.Prefix.IsValid()
}

func addrOf(ip net.IP) netip.Addr {
	address, _ := netip.AddrFromSlice(ip)
	return address.Unmap()
}

func prefixOf(network *net.IPNet) netip.Prefix {
	bits, _ := network.Mask.Size()
	return netip.PrefixFrom(addrOf(network.IP), bits)
}

// routes are the IPv4 routes of all tables but `local`, which is the kernel's own.
func (k *Kernel) routes() ([]plan.Route, error) {
	// Without a filter by table the library looks at `main` alone.
	all, err := k.handle.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, err //nolint:wrapcheck // Read says what was attempted
	}
	var routes []plan.Route
	for _, one := range all {
		if one.Table != unix.RT_TABLE_LOCAL {
			routes = append(routes, routesOf(one)...)
		}
	}
	return routes, nil
}

// routesOf is a route, once for each of its next hops.
func routesOf(one netlink.Route) []plan.Route {
	route := plan.Route{
		Table: one.Table, To: prefixOf(cmp.Or(one.Dst, &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)})), Source: addrOf(one.Src),
		Metric: one.Priority, Protocol: int(one.Protocol), TOS: one.Tos, OnLink: one.Flags&unix.RTNH_F_ONLINK != 0,
	}
	if len(one.MultiPath) == 0 {
		route.Link, route.Via = one.LinkIndex, nextHop(one.Gw, one.Via)
		return []plan.Route{route}
	}
	var routes []plan.Route
	for _, hop := range one.MultiPath {
		route.Link, route.Via, route.Multipath, route.OnLink = hop.LinkIndex, nextHop(hop.Gw, hop.Via), true, hop.Flags&unix.RTNH_F_ONLINK != 0
		routes = append(routes, route)
	}
	return routes
}

// nextHop is the next hop of a route, which may be of the other family (RFC 5549).
func nextHop(gateway net.IP, via netlink.Destination) netip.Addr {
	if other, ok := via.(*netlink.Via); ok {
		return addrOf(other.Addr)
	}
	return addrOf(gateway)
}
