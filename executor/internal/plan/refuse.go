package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// uses words what somebody else does with a link, which is why it must be left alone. Of a claimed link, which carries
// our own addresses and routes, that is a master alone.
func (d *decider) uses(link Link) []string {
	var uses []string
	if link.Master != 0 {
		uses = append(uses, "the master "+d.linkName(link.Master))
	}
	if _, recorded := d.recorded[link.MAC]; recorded {
		return uses
	}
	if claim, adopted := d.claims[link.MAC]; adopted {
		uses = append(uses, d.own(link)...)
		uses = append(uses, d.usesOfAdopted(link, claim.Name)...)
	} else {
		if d.stubOf(link) != nil {
			uses = append(append(uses, d.own(link)...), d.ways(link)...)
		}
		uses = append(uses, d.usesOfNobodys(link)...)
	}
	for _, upper := range d.kernel.Elsewhere[link.Index] {
		uses = append(uses, "the upper device "+upper+" in another network namespace")
	}
	return uses
}

// own words which of the node's own addresses a card has.
func (d *decider) own(link Link) []string {
	var own []string
	for _, address := range d.kernel.Own {
		if link.hasAddress(address) {
			own = append(own, "the node's own address "+address.String())
		}
	}
	return own
}

// ways words whom the node reaches by a card that is about to have another address.
func (d *decider) ways(link Link) []string {
	var ways []string
	for _, way := range d.kernel.Ways {
		if way.Path.Link == link.Index {
			ways = append(ways, fmt.Sprintf("the node's way to %s (%s)", way.Name, way.Address))
		}
	}
	return ways
}

// usesOfNobodys words all that a card carries: one that is nobody's must be bare, but for what it was given by DHCP that it is taken from.
func (d *decider) usesOfNobodys(link Link) []string {
	var uses []string
	stub := d.stubOf(link)
	for _, address := range link.Addresses {
		isLeased := stub != nil && slices.Contains(link.Leased, address.Prefix)
		if !address.LinkLocal && !isLeased {
			uses = append(uses, "the address "+address.String())
		}
	}
	for _, route := range d.kernel.Routes {
		switch {
		case route.Link != link.Index:
		case stub != nil && d.isOnlyWayOut(route):
			uses = append(uses, "the node's default route "+route.text(""))
		case stub == nil || !isOfDHCP(route):
			uses = append(uses, "the route "+route.text(""))
		}
	}
	for _, upper := range d.kernel.Links {
		if upper.Lower == link.Index {
			uses = append(uses, "the upper device "+upper.Name)
		}
	}
	return uses
}

func (d *decider) linkName(index int) string {
	for _, link := range d.kernel.Links {
		if link.Index == index {
			return link.Name
		}
	}
	return fmt.Sprintf("with index %d", index)
}

func namesOf(links []Link) []string {
	var names []string
	for _, link := range links {
		names = append(names, link.Name)
	}
	return names
}

// sentence joins words as a sentence does, and cuts a long list.
func sentence(words []string) string {
	const most = 4
	if len(words) > most {
		words = append(words[:most-1:most-1], fmt.Sprintf("%d more", len(words)-most+1))
	}
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

// refuseConflicts refuses items whose subnets would take over what is the node's own, and items with the address of another
// that goes before it.
func (d *decider) refuseConflicts() {
	foreign := d.foreignAddresses()
	gateways := d.defaultGateways()
	ranks := d.ranks()
	for i := range d.decisions {
		decision := &d.decisions[i]
		if decision.Obstacle != None || !decision.Item.Spec.Address.IsValid() {
			continue
		}
		address, subnet := decision.Item.Spec.Address.Addr(), decision.Item.Spec.Address.Masked()
		if twin := d.twinOf(i, ranks); twin != nil {
			d.refusef(decision, SubnetConflict, "%s is also asked for on %s: give each NIC its own address", address, twin.Item.Key.MAC)
			continue
		}
		isNodes := false
		for _, one := range foreign {
			isNodes = isNodes || one.subnet == subnet
			if one.address == address {
				d.refusef(decision, SubnetConflict, "%s is an address of %s, which is not multinic's: choose another", address, one.link)
			}
		}
		// In a subnet of the node's own, its own routes go on winning.
		if decision.Obstacle != None || isNodes {
			continue
		}
		for _, one := range foreign {
			if subnet.Contains(one.address) {
				d.refusef(decision, SubnetConflict, "%s contains %s, an address of %s, without being its subnet (%s): correct the address or the subnet mask",
					subnet, one.address, one.link, one.subnet)
				break
			}
		}
		for _, gateway := range gateways {
			if decision.Obstacle == None && subnet.Contains(gateway) {
				d.refusef(decision, SubnetConflict,
					"%s contains %s, the node's own default gateway, without being its subnet: correct the address or the subnet mask", subnet, gateway)
			}
		}
		if decision.Obstacle == None {
			d.refuseDetours(decision)
		}
	}
}

// refuseDetours refuses an item by which traffic to somebody would leave by it that leaves by the node's default route: what is next
// to an interface goes before that.
func (d *decider) refuseDetours(decision *Decision) {
	near, isNear := decision.Item.Spec.near()
	for _, way := range d.kernel.Ways {
		if isNear && near.Contains(way.Address) && d.isByDefault(way) {
			d.refusef(decision, SubnetConflict,
				"%s takes in %s, the address of %s, which the node reaches by its default route: correct the address, the subnet mask or the gateway",
				near, way.Address, way.Name)
			return
		}
	}
}

// isByDefault says whether a way is that of the node's own default route. A closer route of `main`, or a rule before it, wins over
// ours anyway.
func (d *decider) isByDefault(way Way) bool {
	isByDefault := false
	for _, route := range d.kernel.Routes {
		switch {
		case route.Table != MainTable, !route.To.Contains(way.Address):
		case route.To != everywhere():
			return false
		default:
			isByDefault = isByDefault || route.Link == way.Path.Link && route.Via == way.Path.Via
		}
	}
	return isByDefault
}

// The ranks of items that ask for one address. Of two with one rank the earlier goes before, so that the same always wins.
const (
	// cannot: nothing could ever have it by this item.
	cannot = iota
	// could: if its NIC were there and free.
	could
	// can: its NIC is there and free.
	can
	// does: it has the address already. A row with a typo takes it from nobody.
	does
)

// ranks are those of all decisions, before any of them is refused for another's sake.
func (d *decider) ranks() []int {
	ranks := make([]int, len(d.decisions))
	for i, decision := range d.decisions {
		has := slices.ContainsFunc(d.kernel.Links, func(l Link) bool {
			return l.Index == decision.Link && d.isOurs(l) && l.hasAddress(decision.Item.Spec.Address.Addr())
		})
		switch {
		case decision.Obstacle == SpecInvalid:
		case decision.Obstacle != None:
			ranks[i] = could
		case has:
			ranks[i] = does
		default:
			ranks[i] = can
		}
	}
	return ranks
}

// twinOf is the decision on another item that asks for the address of the i-th and goes before it.
func (d *decider) twinOf(i int, ranks []int) *Decision {
	for j := range d.decisions {
		goesBefore := ranks[j] > ranks[i] || ranks[j] == ranks[i] && j < i
		if ranks[j] != cannot && goesBefore && d.decisions[j].Item.Spec.Address.Addr() == d.decisions[i].Item.Spec.Address.Addr() {
			return &d.decisions[j]
		}
	}
	return nil
}

type foreignAddress struct {
	address netip.Addr
	subnet  netip.Prefix
	link    string
}

// foreignAddresses are the IPv4 addresses of all links that are not ours and do not become so.
func (d *decider) foreignAddresses() []foreignAddress {
	var found []foreignAddress
	for _, link := range d.kernel.Links {
		if d.becomesOurs(link) {
			continue
		}
		for _, address := range link.Addresses {
			if address.Prefix.Addr().Is4() {
				found = append(found, foreignAddress{address.Prefix.Addr(), address.subnet(), link.Name})
			}
		}
	}
	return found
}

// subnet is what the kernel takes to be next to a link for an address: around the peer, where there is one.
func (a Address) subnet() netip.Prefix {
	if a.Peer.IsValid() {
		return netip.PrefixFrom(a.Peer, a.Prefix.Bits()).Masked()
	}
	return a.Prefix.Masked()
}

// defaultGateways are the next hops of the node's own default routes. One that somebody has put on a link of ours is none.
func (d *decider) defaultGateways() []netip.Addr {
	ours := map[int]bool{}
	for _, link := range d.kernel.Links {
		ours[link.Index] = d.becomesOurs(link)
	}
	var found []netip.Addr
	for _, route := range d.kernel.Routes {
		if route.Table == MainTable && route.To == everywhere() && route.Via.Is4() && !ours[route.Link] {
			found = append(found, route.Via)
		}
	}
	return found
}
