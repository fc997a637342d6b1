// Package underlay says what of a kernel is the node's own network, by which everybody reaches it, and what of it was lost.
package underlay

import (
	"fmt"
	"net/netip"
	"slices"

	"multinic.dev/executor/internal/plan"
)

// Underlay is the node's own network: the links of its default routes and those that bear its own addresses, with the links that they
// belong to, consist of and stand on; its own addresses; and its default routes. What comes and goes on a node all the time is none of
// it: pods' links, virtual addresses, and all other routes and rules.
type Underlay struct {
	// Links are in the order of their indices, each with those of its addresses that are the node's own.
	Links []plan.Link
	// Defaults are the default routes of the table `main`.
	Defaults []plan.Route
}

// Of says what of a kernel is the node's own network. Claims say what is multinic's, which is none of it; own are the node's own
// addresses as far as they are known. On the links of default routes each IPv4 address with a subnet counts as one; a virtual address,
// as a load balancer moves it about, has none (a prefix of 32 bits).
func Of(kernel plan.Kernel, claims plan.Claims, own []netip.Addr) Underlay {
	o := observer{kernel: kernel, claims: claims, own: own, routed: map[int]bool{}, taken: map[int]bool{}}
	var found Underlay
	for _, route := range kernel.Routes {
		isDefault := route.Table == plan.MainTable && route.To.IsValid() && route.To.Bits() == 0
		if isDefault && !o.isOurs(route.Link) {
			found.Defaults = append(found.Defaults, route)
			o.routed[route.Link] = true
			o.take(route.Link)
		}
	}
	for _, link := range kernel.Links {
		if slices.ContainsFunc(link.Addresses, o.isOwn) && !o.isOurs(link.Index) {
			o.take(link.Index)
		}
	}
	for _, link := range kernel.Links {
		if !o.taken[link.Index] {
			continue
		}
		all := link.Addresses
		link.Addresses, link.Settings = nil, nil
		for _, address := range all {
			if o.isOwn(address) || o.routed[link.Index] && isWithSubnet(address) {
				link.Addresses = append(link.Addresses, address)
			}
		}
		found.Links = append(found.Links, link)
	}

	return found
}

// observer is one run of Of.
type observer struct {
	kernel plan.Kernel
	claims plan.Claims
	own    []netip.Addr
	// routed are the links of default routes, taken are all that belong to the underlay.
	routed, taken map[int]bool
}

func (o *observer) isOurs(index int) bool {
	i := slices.IndexFunc(o.kernel.Links, func(l plan.Link) bool { return l.Index == index })

	return i >= 0 && plan.IsOurs(o.claims, o.kernel, o.kernel.Links[i])
}

func (o *observer) isOwn(address plan.Address) bool {
	return slices.Contains(o.own, address.Prefix.Addr())
}

func isWithSubnet(address plan.Address) bool {
	return address.Prefix.Addr().Is4() && !address.LinkLocal && address.Prefix.Bits() < address.Prefix.Addr().BitLen()
}

// take takes a link in, with its master, its slaves and what it stands on.
func (o *observer) take(index int) {
	if index == 0 || o.taken[index] {
		return
	}
	for _, link := range o.kernel.Links {
		if link.Index != index {
			continue
		}
		o.taken[index] = true
		o.take(link.Master)
		o.take(link.Lower)
		for _, slave := range o.kernel.Links {
			if slave.Master == index && isUplink(link, slave) {
				o.take(slave.Index)
			}
		}
	}
}

// isUplink says whether a slave is how its master is reached: each of a bond's is; a bridge has pods as its ports as well.
func isUplink(master, slave plan.Link) bool {
	return master.Kind != "bridge" || slices.Contains([]string{"", "bond", "team", "vlan"}, slave.Kind)
}

// Lost says what of it is gone or otherwise, a sentence each. What is new is no loss.
func (u Underlay) Lost(now Underlay) []string {
	var lost []string
	for _, was := range u.Links {
		i := slices.IndexFunc(now.Links, func(l plan.Link) bool { return l.Index == was.Index })
		if i < 0 {
			lost = append(lost, was.Name+" is gone, or is not the node's way out any more")

			continue
		}
		lost = append(lost, lostOf(was, now.Links[i])...)
	}
	for _, route := range u.Defaults {
		if !slices.Contains(now.Defaults, route) {
			lost = append(lost, fmt.Sprintf("the default route via %s (metric %d) is gone", route.Via, route.Metric))
		}
	}

	return lost
}

func lostOf(was, is plan.Link) []string {
	var lost []string
	if was.Name != is.Name {
		lost = append(lost, fmt.Sprintf("%s is named %s now", was.Name, is.Name))
	}
	if was.Up && !is.Up {
		lost = append(lost, was.Name+" is down")
	}
	if was.MTU != is.MTU {
		lost = append(lost, fmt.Sprintf("the MTU of %s was %d and is %d", was.Name, was.MTU, is.MTU))
	}
	if was.Master != is.Master {
		lost = append(lost, fmt.Sprintf("%s belongs to the link with index %d, and belonged to %d", was.Name, is.Master, was.Master))
	}
	for _, address := range was.Addresses {
		if !slices.ContainsFunc(is.Addresses, func(a plan.Address) bool { return a.Prefix == address.Prefix && a.Peer == address.Peer }) {
			lost = append(lost, fmt.Sprintf("%s has lost the address %s", was.Name, address.Prefix))
		}
	}

	return lost
}
