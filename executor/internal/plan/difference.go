package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
)

// aside is a name that a link can have while another takes its old one; unique, and within the kernel's 15 bytes.
func aside(link int) string { return "multi-" + strconv.Itoa(link) }

// changes are the difference between what an interface should be and what it is.
func (d *decider) changes(decision *Decision) []Change {
	changes := slices.Clone(d.cardChanges(decision))
	if decision.Item.Key.VLAN == 0 {
		changes = append(changes, d.content(decision.Item.Spec, decision)...)
	} else {
		changes = append(changes, d.vlanChanges(decision)...)
	}
	return append(changes, d.persistence(decision)...)
}

// cardChanges are those of a decision's card that all of its interfaces need: its name, its settings, that it is up, and
// the MTU that its untagged item asks for. A card that has VLANs alone carries nothing itself; but what is claimed, and not
// among the items, stays.
func (d *decider) cardChanges(decision *Decision) []Change {
	if changes, planned := d.ofCards[decision.Card]; planned {
		return changes
	}
	key := Key{MAC: decision.Item.Key.MAC}
	itself := Decision{Item: Item{Key: key}, Card: decision.Card, Link: decision.Card}
	itself.setName(decision.NIC)
	untagged := slices.IndexFunc(d.decisions, func(other Decision) bool { return other.Item.Key == key })
	if untagged >= 0 && d.decisions[untagged].Obstacle == None {
		itself.Item.Spec = d.decisions[untagged].Item.Spec
	}
	changes := d.linkChanges(&itself)
	if untagged < 0 && !d.claims.has(key) {
		changes = append(changes, d.content(Spec{}, &itself)...)
	}
	d.ofCards[decision.Card] = changes
	return changes
}

// vlanChanges are those of a VLAN. One that is not there yet is made, and the rest is for the next plan, which knows it.
func (d *decider) vlanChanges(decision *Decision) []Change {
	if decision.Link != 0 {
		return append(d.linkChanges(decision), d.content(decision.Item.Spec, decision)...)
	}
	var changes []Change
	for _, link := range d.kernel.Links {
		if d.isSurplus(link, decision) {
			changes = append(changes, RemoveVLAN{link.Index, link.Name})
		}
	}
	return append(changes, AddVLAN{decision.Card, decision.NIC, decision.Name, decision.Item.Key.VLAN})
}

// linkChanges are those of a link, but for what it carries.
func (d *decider) linkChanges(decision *Decision) []Change {
	link := d.link(decision.Link)
	changes := d.renames(decision.Link, decision.Name)
	mtu := decision.Item.Spec.MTU
	newMTU := mtu != 0 && mtu != link.MTU
	if newMTU {
		changes = append(changes, SetMTU{link.Index, decision.Name, mtu})
	}
	changes = append(changes, settings(link, decision.Name, newMTU)...)
	if !link.Up {
		changes = append(changes, SetUp{link.Index, decision.Name})
	}
	return changes
}

// content are the changes of what a link carries. What is new comes before what is stale goes, so that a change of the
// address or the gateway has no moment in which nothing works.
func (d *decider) content(spec Spec, decision *Decision) []Change {
	link := d.link(decision.Link)
	number, _ := Number(decision.NIC)
	at := place{number, decision.Item.Key.VLAN}
	var changes []Change
	inTheWay, add, stale := addresses(link, spec)
	for _, address := range inTheWay {
		changes = append(changes, RemoveAddress{link.Index, decision.Name, address})
	}
	for _, address := range add {
		changes = append(changes, AddAddress{link.Index, decision.Name, address})
	}
	routes, staleRoutes := d.routes(spec, decision.Link, at, emptied(link, inTheWay))
	for _, route := range routes {
		changes = append(changes, AddRoute{route, decision.Name})
	}
	rules, staleRules := d.rules(spec, decision, at)
	changes = append(changes, addRules(rules)...)

	changes = append(changes, d.removeRules(staleRules)...)
	for _, route := range staleRoutes {
		changes = append(changes, RemoveRoute{route, d.names[route.Link]})
	}
	for _, address := range stale {
		changes = append(changes, RemoveAddress{link.Index, decision.Name, address})
	}
	return changes
}

func (d *decider) link(index int) Link {
	i := slices.IndexFunc(d.kernel.Links, func(l Link) bool { return l.Index == index })
	return d.kernel.Links[i]
}

// settings are the settings that are not as they should be. A new MTU may give a link back its IPv6, with settings that
// could not be read yet.
func settings(link Link, name string, newMTU bool) []Change {
	var changes []Change
	for _, setting := range Settings() {
		value, there := link.Settings[setting.Path]
		unknown := link.Settings == nil || newMTU
		if value != setting.Value && (there || !setting.Optional || unknown) {
			changes = append(changes, Set{fmt.Sprintf(setting.Path, name), setting.Value})
		}
	}
	return changes
}

// addresses are what must go before the wanted address comes, the wanted one if it is missing, and what must go after
// it. Of two addresses of one subnet the kernel makes the second the first one's secondary and, by default, takes it
// away together with the first: so the old one goes first there. One for which the kernel once made a prefix route stays: that
// route is stale like any other, and goes alone.
func addresses(link Link, spec Spec) (inTheWay, add, stale []Address) {
	wanted := wantedAddress(spec)
	if spec.Address.IsValid() && !slices.ContainsFunc(link.Addresses, wanted.isSame) {
		add = []Address{wanted}
	}
	for _, address := range link.Addresses {
		switch is4 := address.Prefix.Addr().Is4(); {
		case wanted.isSame(address), !is4 && address.LinkLocal:
		case is4 && len(add) > 0 && address.subnet() == wanted.subnet():
			inTheWay = append(inTheWay, address)
		default:
			stale = append(stale, address)
		}
	}
	return inTheWay, add, stale
}

// wantedAddress is the address that a spec asks for, with the broadcast address that its subnet has.
func wantedAddress(spec Spec) Address {
	wanted := Address{Prefix: spec.Address, NoPrefixRoute: true}
	if spec.Address.IsValid() && spec.Address.Bits() < 31 {
		wanted.Broadcast = lastOf(spec.Address)
	}
	return wanted
}

// lastOf is the last address of an IPv4 prefix.
func lastOf(prefix netip.Prefix) netip.Addr {
	octets := prefix.Masked().Addr().As4()
	for bit := prefix.Bits(); bit < prefix.Addr().BitLen(); bit++ {
		octets[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(octets)
}

// isSame overlooks the scope, in which nothing is wanted, and whether the kernel made a route for it: that goes without it.
func (a Address) isSame(other Address) bool {
	other.LinkLocal, other.HostLocal, other.NoPrefixRoute = a.LinkLocal, a.HostLocal, a.NoPrefixRoute
	return a == other
}

// emptied says whether a link has no IPv4 address left for a moment; the kernel then takes all its routes away.
func emptied(link Link, inTheWay []Address) bool {
	return len(inTheWay) > 0 && !slices.ContainsFunc(link.Addresses, func(a Address) bool {
		return a.Prefix.Addr().Is4() && !slices.Contains(inTheWay, a)
	})
}

// routes are the missing and the stale routes of an interface. Stale are all that are on its link or in its own table,
// but for those that give way to a new one anyway.
func (d *decider) routes(spec Spec, link int, at place, emptied bool) (missing, stale []Route) {
	has := d.kernel.Routes
	if emptied {
		has = slices.DeleteFunc(slices.Clone(has), func(r Route) bool { return r.Link == link && !r.Multipath })
	}
	missing, stale = compare(wantedRoutes(spec, at, link), has, func(r Route) bool {
		// Elsewhere, one that has other links as well is not ours to take away.
		return r.Table == at.table() || r.Link == link && !r.Multipath
	})
	stale = slices.DeleteFunc(stale, func(r Route) bool {
		return slices.ContainsFunc(missing, func(m Route) bool { return m.replaces(r) })
	})
	return missing, stale
}

// rules are the missing and the stale rules of an interface. Stale are those into its own table, and those that are
// marked as multinic's, have a preference of the interfaces', and are no other interface's.
func (d *decider) rules(spec Spec, decision *Decision, at place) (missing, stale []Rule) {
	var others []Rule
	for _, other := range d.decisions {
		if other.Obstacle == None && other.Item.Key != decision.Item.Key {
			n, _ := Number(other.NIC)
			others = append(others, wantedRules(other.Item.Spec, place{n, other.Item.Key.VLAN})...)
		}
	}
	isOwn := func(table int) bool { return table == at.table() }
	return compareAs(wantedRules(spec, at), d.kernel.Rules, Rule.asOurs, func(r Rule) bool {
		switch {
		case r.Other, slices.Contains(others, r.asOurs()):
			return false
		case isOwn(r.Table):
			return true
		default:
			return r.isMarked(d.kernel.Rules, isOwn) && isAnInterfaces(r.Preference) && !d.isOfAnother(r, decision, at)
		}
	})
}

// isOfAnother says whether a rule that is not into an interface's own table is of another interface: it leads into that
// one's table, or its source is that one's address, by what the kernel has.
func (d *decider) isOfAnother(rule Rule, decision *Decision, at place) bool {
	isAnothersTable := func(table int) bool { return IsOurTable(table) && table != SharedTable && table != at.table() }
	if isAnothersTable(rule.Table) {
		return true
	}
	if slices.ContainsFunc(d.kernel.Rules, func(r Rule) bool { return r.From == rule.From && isAnothersTable(r.Table) }) {
		return true
	}
	return slices.ContainsFunc(d.kernel.Links, func(l Link) bool {
		return l.Index != decision.Link && d.isOurs(l) && d.carriedOut[l.Index] == nil && l.hasAddress(fromAddress(rule))
	})
}

// isMarked says whether a rule, which is one of all, has multinic's mark, or that of a network manager which has set it up together
// with one from the same source into a table of some.
func (r Rule) isMarked(all []Rule, isOne func(table int) bool) bool {
	return r.Protocol == Protocol || r.asOurs().Protocol == Protocol && slices.ContainsFunc(all, func(other Rule) bool {
		return !other.Other && isOne(other.Table) && other.From == r.From
	})
}

// asOurs is a rule with multinic's mark where it says what one of multinic's says, but has the mark of a network manager that
// sets up what is persisted.
func (r Rule) asOurs() Rule {
	isNear := r.Preference == prefMain && fromAddress(r).IsValid()
	isUnbound := r.Preference == prefMainUnbound && !r.From.IsValid()
	intoMain := r.Table == MainTable && r.WithoutDefault && (isNear || isUnbound)
	if r.Protocol == protocolStatic && !r.Other && (IsOurTable(r.Table) || intoMain) {
		r.Protocol = Protocol
	}
	return r
}

func fromAddress(rule Rule) netip.Addr {
	if !rule.From.IsValid() || !rule.From.IsSingleIP() {
		return netip.Addr{}
	}
	return rule.From.Addr()
}
