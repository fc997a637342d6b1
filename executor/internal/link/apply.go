package link

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"multinic.dev/executor/internal/plan"
)

// Apply makes one change. What is so already, or gone already, is no error. An error says what was attempted, in the
// change's words, and why the kernel refused.
func (k *Kernel) Apply(change plan.Change) error {
	if err := k.apply(change); err != nil {
		if errors.Is(err, unix.ENODEV) {
			err = fmt.Errorf("the link is gone (%w)", err)
		}
		return fmt.Errorf("%s: %w", change, err)
	}
	return nil
}

//nolint:wrapcheck // Apply says what was attempted
func (k *Kernel) apply(change plan.Change) error {
	switch c := change.(type) {
	case plan.Rename:
		return k.rename(c)
	case plan.SetUp:
		return k.handle.LinkSetUp(device(c.Link))
	case plan.SetDown:
		return k.handle.LinkSetDown(device(c.Link))
	case plan.AddVLAN:
		return k.addVLAN(c)
	case plan.RemoveVLAN:
		return unless(unix.ENODEV, k.handle.LinkDel(device(c.Link)))
	case plan.SetMTU:
		return k.handle.LinkSetMTU(device(c.Link), c.MTU)
	case plan.Set:
		return k.set(c)
	case plan.AddAddress:
		address := addr(c.Address)
		if c.Address.NoPrefixRoute {
			address.Flags = unix.IFA_F_NOPREFIXROUTE
		}
		if c.Address.LinkLocal {
			address.Scope = unix.RT_SCOPE_LINK
		}
		if c.Address.HostLocal {
			address.Scope = unix.RT_SCOPE_HOST
		}
		return unless(unix.EEXIST, k.handle.AddrAdd(device(c.Link), address))
	case plan.RemoveAddress:
		return unless(unix.EADDRNOTAVAIL, k.handle.AddrDel(device(c.Link), addr(c.Address)))
	case plan.AddRoute:
		r := route(c.Route)
		if !c.Route.Via.IsValid() {
			r.Scope = netlink.SCOPE_LINK
		}
		return k.handle.RouteReplace(r)
	case plan.RemoveRoute:
		r := route(c.Route)
		// Any scope. The library's own default for that does not reach the kernel.
		r.Scope = netlink.SCOPE_NOWHERE
		if c.Route.Multipath {
			// All of it; the fields here are those of one next hop.
			r.LinkIndex, r.Gw, r.Via, r.Flags = 0, nil, nil, 0
		}
		return unless(unix.ESRCH, k.handle.RouteDel(r))
	case plan.AddRule:
		return k.addRule(c.Rule)
	case plan.RemoveRule:
		return k.removeRule(c.Rule)
	default:
		return fmt.Errorf("%T is no change that is known here", change)
	}
}

// unless overlooks the error by which the kernel says that a change was made already.
func unless(already unix.Errno, err error) error {
	if errors.Is(err, already) {
		return nil
	}
	return err
}

// addVLAN makes a VLAN.
//
//nolint:wrapcheck // Apply says what was attempted
func (k *Kernel) addVLAN(c plan.AddVLAN) error {
	vlan := &netlink.Vlan{LinkAttrs: netlink.NewLinkAttrs(), VlanId: c.ID, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q}
	vlan.Name, vlan.ParentIndex = c.Name, c.Card
	err := k.handle.LinkAdd(vlan)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return plan.ErrNoVLANs
	}
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	// It is no error if it is this one.
	has, lookup := whole(k.links)
	if lookup != nil {
		return errors.Join(err, lookup)
	}
	if slices.ContainsFunc(has, func(l plan.Link) bool {
		return l.Name == c.Name && l.Kind == "vlan" && l.Lower == c.Card && l.VLAN == c.ID
	}) {
		return nil
	}
	return err
}

// rename names a link. Kernels before 6.2 do not rename one that is up.
//
//nolint:wrapcheck // Apply says what was attempted
func (k *Kernel) rename(c plan.Rename) error {
	err := k.handle.LinkSetName(device(c.Link), c.To)
	if !errors.Is(err, unix.EBUSY) {
		return err
	}
	if err := k.handle.LinkSetDown(device(c.Link)); err != nil {
		return err
	}
	err = k.handle.LinkSetName(device(c.Link), c.To)
	return errors.Join(err, k.handle.LinkSetUp(device(c.Link)))
}

// device is a link by its index, which stays whatever its name becomes.
func device(index int) netlink.Link {
	return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index}}
}

// addr is an address as the library has it. Where none is given, it would add a broadcast address by itself.
func addr(address plan.Address) *netlink.Addr {
	a := &netlink.Addr{IPNet: network(address.Prefix), Broadcast: net.IPv4zero}
	if address.Broadcast.IsValid() {
		a.Broadcast = address.Broadcast.AsSlice()
	}
	if address.Peer.IsValid() {
		a.Peer = network(netip.PrefixFrom(address.Peer, address.Prefix.Bits()))
	}
	return a
}

func network(prefix netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: prefix.Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen())}
}

func route(r plan.Route) *netlink.Route {
	converted := &netlink.Route{
		LinkIndex: r.Link, Dst: network(r.To), Table: r.Table, Priority: r.Metric, Protocol: netlink.RouteProtocol(r.Protocol), Tos: r.TOS,
	}
	if r.OnLink {
		converted.SetFlag(netlink.FLAG_ONLINK)
	}
	if r.Source.IsValid() {
		converted.Src = r.Source.AsSlice()
	}
	switch {
	case r.Via.Is4():
		converted.Gw = r.Via.AsSlice()
	case r.Via.Is6():
		converted.Via = &netlink.Via{AddrFamily: unix.AF_INET6, Addr: r.Via.AsSlice()}
	}
	return converted
}
