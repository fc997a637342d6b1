package link

import (
	"encoding/binary"
	"net"
	"slices"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"multinic.dev/executor/internal/plan"
)

// known is what is known of links and addresses, so that an event which changes nothing of it is told from one that does:
// the kernel also reports renewed lifetimes, carriers and statistics.
type known struct {
	// links are without their addresses and settings.
	links     map[int]plan.Link
	addresses map[int][]plan.Address
}

func newKnown(links []plan.Link, addresses map[int][]plan.Address) *known {
	k := &known{links: map[int]plan.Link{}, addresses: addresses}
	for _, link := range links {
		k.links[link.Index] = link
	}
	return k
}

// learn takes an event in and says whether it matters. What cannot be understood does.
func (k *known) learn(message syscall.NetlinkMessage) bool {
	data := message.Data
	switch message.Header.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		return len(data) < unix.SizeofIfInfomsg || k.learnLink(message.Header.Type == unix.RTM_DELLINK, data)
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		return len(data) < unix.SizeofIfAddrmsg || k.learnAddress(message.Header.Type == unix.RTM_DELADDR, data)
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		return len(data) < unix.SizeofRtMsg || k.routeMatters(data)
	case unix.RTM_NEWRULE, unix.RTM_DELRULE:
		rule, err := ruleOf(data)
		return err != nil || rule.Protocol == plan.Protocol || plan.IsOurTable(rule.Table) || plan.IsOurPreference(rule.Preference)
	case unix.RTM_NEWNETCONF:
		return k.settingMatters(data)
	default:
		return false
	}
}

func (k *known) learnLink(gone bool, data []byte) bool {
	header := nl.DeserializeIfInfomsg(data)
	if header.Family != unix.AF_UNSPEC {
		return false // A bridge's view of its port.
	}
	index := int(header.Index)
	if gone {
		delete(k.links, index)
		delete(k.addresses, index)
		return true
	}
	link, err := netlink.LinkDeserialize(nil, data)
	if err != nil {
		return true
	}
	was, there := k.links[index]
	is := linkOf(link)
	k.links[index] = is
	return !there || !isSame(was, is)
}

// isSame compares links without their addresses and settings, which keep plan.Link from being compared as a whole.
func isSame(a, b plan.Link) bool {
	return a.Name == b.Name && a.MAC == b.MAC && a.Kind == b.Kind && a.Master == b.Master && a.Lower == b.Lower && a.VLAN == b.VLAN &&
		a.MTU == b.MTU && a.Up == b.Up
}

func (k *known) learnAddress(gone bool, data []byte) bool {
	header := nl.DeserializeIfAddrmsg(data)
	attributes, err := nl.ParseRouteAttr(data[unix.SizeofIfAddrmsg:])
	if err != nil {
		return true
	}
	one := netlink.Addr{Scope: int(header.Scope), Flags: int(header.Flags)}
	mask := func(address []byte) *net.IPNet {
		return &net.IPNet{IP: address, Mask: net.CIDRMask(int(header.Prefixlen), 8*len(address))}
	}
	for _, attribute := range attributes {
		switch attribute.Attr.Type {
		case unix.IFA_LOCAL:
			one.IPNet = mask(attribute.Value)
		case unix.IFA_ADDRESS:
			one.Peer = mask(attribute.Value)
		case unix.IFA_BROADCAST:
			one.Broadcast = attribute.Value
		case unix.IFA_FLAGS:
			if len(attribute.Value) == 4 {
				one.Flags = int(binary.NativeEndian.Uint32(attribute.Value))
			}
		}
	}
	if one.IPNet == nil {
		// IPv6 has its own address where IPv4 has the peer's.
		one.IPNet, one.Peer = one.Peer, nil
	}
	address, ok := addressOf(one)
	if !ok {
		return true
	}
	if address.Prefix.Addr().Is6() && address.LinkLocal {
		return false // Every link that is up gives itself one.
	}
	index := int(header.Index)
	all := slices.DeleteFunc(k.addresses[index], func(a plan.Address) bool {
		return a.Prefix == address.Prefix && a.Peer == address.Peer && (gone || a != address)
	})
	matters := gone || !slices.Contains(all, address)
	if !gone && matters {
		all = append(all, address)
	}
	k.addresses[index] = all
	return matters
}

func (k *known) routeMatters(data []byte) bool {
	header := nl.DeserializeRtMsg(data)
	attributes, err := nl.ParseRouteAttr(data[unix.SizeofRtMsg:])
	if err != nil {
		return true
	}
	table, link := int(header.Table), 0
	for _, attribute := range attributes {
		if len(attribute.Value) != 4 {
			continue
		}
		switch number := int(binary.NativeEndian.Uint32(attribute.Value)); attribute.Attr.Type {
		case unix.RTA_TABLE:
			table = number
		case unix.RTA_OIF:
			link = number
		}
	}
	if table == unix.RT_TABLE_LOCAL {
		return false // Comes and goes with the addresses.
	}
	isDefault := header.Dst_len == 0 && table == plan.MainTable
	return header.Protocol == plan.Protocol || plan.IsOurTable(table) || isDefault || k.isOurs(link)
}

// isOurs says whether a link has one of our names.
func (k *known) isOurs(link int) bool {
	return plan.IsOurName(k.links[link].Name)
}

// settingMatters says whether a message of a changed setting (struct netconfmsg of linux/netconf.h) is of a link of ours.
func (k *known) settingMatters(data []byte) bool {
	const (
		header = 4 // One byte, padded.
		index  = 1 // NETCONFA_IFINDEX
	)
	if len(data) < header {
		return false
	}
	attributes, err := nl.ParseRouteAttr(data[header:])
	if err != nil {
		return false
	}
	return slices.ContainsFunc(attributes, func(a syscall.NetlinkRouteAttr) bool {
		return a.Attr.Type == index && len(a.Value) == 4 && k.isOurs(int(binary.NativeEndian.Uint32(a.Value)))
	})
}
