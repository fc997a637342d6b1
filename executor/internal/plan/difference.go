package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
)

// aside is a name that a link can have while another takes its old one; unique, and within the kernel's 15 bytes.
func aside(link int) string { return "multi-" + strconv.Itoa(link) }

// changes are the difference between what an interface should be and what it is. What is new comes before what is
// stale goes, so that a change of the address or the gateway has no moment in which nothing works.
func (d *decider) changes(decision *Decision) []Change {
	link := d.link(decision.Link)
	number, _ := Number(decision.Name)
	spec := decision.Item.Spec
	changes := d.renames(decision)
	newMTU := spec.MTU != 0 && spec.MTU != link.MTU
	if newMTU {
		changes = append(changes, SetMTU{link.Index, decision.Name, spec.MTU})
	}
	changes = append(changes, settings(link, decision.Name, newMTU)...)
	if !link.Up {
		changes = append(changes, SetUp{link.Index, decision.Name})
	}

	inTheWay, add, stale := addresses(link, spec)
	for _, address := range inTheWay {
		changes = append(changes, RemoveAddress{link.Index, decision.Name, address})
	}
	for _, address := range add {
		changes = append(changes, AddAddress{link.Index, decision.Name, address})
	}
	routes, staleRoutes := d.routes(decision, number, emptied(link, inTheWay))
	for _, route := range routes {
		changes = append(changes, AddRoute{route, decision.Name})
	}
	rules, staleRules := d.rules(decision, number)
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
// away together with the first: so the old one goes first there. That is also the only way to be rid of a prefix route.
func addresses(link Link, spec Spec) (inTheWay, add, stale []Address) {
	wanted := Address{Prefix: spec.Address, NoPrefixRoute: true}
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

// isSame overlooks the scope, in which nothing is wanted.
func (a Address) isSame(other Address) bool {
	other.LinkLocal = a.LinkLocal
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
func (d *decider) routes(decision *Decision, number int, emptied bool) (missing, stale []Route) {
	has := d.kernel.Routes
	if emptied {
		has = slices.DeleteFunc(slices.Clone(has), func(r Route) bool { return r.Link == decision.Link && !r.Multipath })
	}
	missing, stale = compare(wantedRoutes(decision.Item.Spec, number, decision.Link), has, func(r Route) bool {
		// Elsewhere, one that has other links as well is not ours to take away.
		return r.Table == ownTable(number) || r.Link == decision.Link && !r.Multipath
	})
	stale = slices.DeleteFunc(stale, func(r Route) bool {
		return slices.ContainsFunc(missing, func(m Route) bool { return m.Table == r.Table && m.To == r.To && m.Metric == r.Metric })
	})
	return missing, stale
}

// rules are the missing and the stale rules of an interface. Stale are those into its own table, and those that are
// marked as multinic's, have a preference of the interfaces', and are no other interface's.
func (d *decider) rules(decision *Decision, number int) (missing, stale []Rule) {
	var others []Rule
	for _, other := range d.carriedOut {
		if other != decision {
			n, _ := Number(other.Name)
			others = append(others, wantedRules(other.Item.Spec, n)...)
		}
	}
	return compare(wantedRules(decision.Item.Spec, number), d.kernel.Rules, func(r Rule) bool {
		switch {
		case r.Other, slices.Contains(others, r):
			return false
		case r.Table == ownTable(number):
			return true
		default:
			return r.Protocol == Protocol && isAnInterfaces(r.Preference) && !d.isOfAnother(r, decision, number)
		}
	})
}

// isOfAnother says whether a rule that is not into an interface's own table is of another interface: it leads into that
// one's table, or its source is that one's address, by what the kernel has.
func (d *decider) isOfAnother(rule Rule, decision *Decision, number int) bool {
	isAnothersTable := func(table int) bool { return IsOurTable(table) && table != SharedTable && table != ownTable(number) }
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

func fromAddress(rule Rule) netip.Addr {
	if !rule.From.IsValid() || !rule.From.IsSingleIP() {
		return netip.Addr{}
	}
	return rule.From.Addr()
}
