package plan

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// Definition is what somebody else's configuration of the host says of a NIC, or of all that are alike.
type Definition struct {
	// File is where it stands, for people.
	File string
	// MAC is the address of the NIC that it is for. Empty: it goes by names.
	MAC string
	// Names are the names for which it is, as shell patterns.
	Names []string
	// First says that the host's network manager asks it before it asks multinic's own.
	First bool
	// DHCP says that it has an address asked for.
	DHCP bool
}

// Adopt returns claims with those cards as well that the host's files speak of as multinic's, under names that nobody has a claim to:
// the predecessor's files, or those of an executor whose record was lost.
func Adopt(claims Claims, kernel Kernel) Claims {
	all := maps.Clone(claims)
	if all == nil {
		all = Claims{}
	}
	taken := map[string]bool{}
	for _, claim := range claims {
		taken[claim.Name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(kernel.Persisted)) {
		config := kernel.Persisted[name]
		if _, claimed := all[config.MAC]; claimed || config.MAC == "" || taken[name] {
			continue
		}
		claim := Claim{Name: name}
		for _, one := range config.Interfaces {
			claim.VLANs = append(claim.VLANs, one.VLAN)
		}
		all[config.MAC] = claim
	}
	return all
}

// usesOfAdopted words what somebody else does with a card that is to be adopted. What it carries is multinic's already, but for a way
// out of the node that nothing else would be.
func (d *decider) usesOfAdopted(link Link, nic string) []string {
	var uses []string
	for _, route := range d.kernel.Routes {
		if route.Link == link.Index && d.isOnlyWayOut(route) {
			uses = append(uses, "the node's default route "+route.text(""))
		}
	}
	for _, upper := range d.kernel.Links {
		isItsOwn := upper.Kind == kindVLAN && upper.Name == NameOf(nic, upper.VLAN)
		if upper.Lower == link.Index && !isItsOwn {
			uses = append(uses, "the upper device "+upper.Name)
		}
	}
	return uses
}

// isOnlyWayOut says whether a route leads out of the node, and no other does before it, by a link that is not multinic's.
func (d *decider) isOnlyWayOut(route Route) bool {
	return route.Table == MainTable && route.To == everywhere() &&
		!slices.ContainsFunc(d.kernel.Routes, func(other Route) bool { return other.Link != route.Link && d.isBetterOut(other, route) })
}

// isBetterOut says whether a route leads out of the node before another does, by a link that is not multinic's.
func (d *decider) isBetterOut(route, than Route) bool {
	return route.Table == MainTable && route.To == everywhere() && route.Metric < than.Metric &&
		!slices.ContainsFunc(d.kernel.Links, func(l Link) bool { return l.Index == route.Link && d.isOurs(l) })
}

// isForeign says whether somebody else's file stands where a NIC's would.
func (d *decider) isForeign(nic string) bool { return d.kernel.Persisted[nic].Foreign != nil }

// refuseOthers refuses an item whose card somebody else configures.
func (d *decider) refuseOthers(decision *Decision, card Link) {
	mac := decision.Item.Key.MAC
	_, recorded := d.recorded[mac]
	name := d.claims[mac].Name
	if d.kernel.Rival != "" && (!recorded || d.isForeign(name)) {
		d.refusef(decision, LinkInUse, "%s configures NICs of this node: uninstall it first, so that only one does", d.kernel.Rival)
		return
	}
	for _, other := range slices.Sorted(maps.Keys(d.kernel.Persisted)) {
		if d.kernel.Persisted[other].MAC == mac && other != name {
			d.refusef(decision, LinkInUse, "%s (%s) is %s, and the host's file for %s speaks of it as well: take that file out", card.Name, mac, name, other)
			return
		}
	}
	if recorded {
		return
	}
	for _, definition := range d.kernel.Definitions {
		switch {
		case d.kernel.TakeDHCP && definition.IsStub():
			continue
		case definition.MAC == mac:
			d.refusef(decision, LinkInUse, "%s (%s) is defined by %s: take that out first, or delete the row", card.Name, mac, definition.File)
		case definition.MAC != "" || name != "" && !definition.ComesFirst(name):
			continue
		case name == "" && definition.isFor(card.Name) && (definition.DHCP || !definition.IsWide()), definition.ComesFirst(""):
			d.refusef(decision, LinkInUse, "%s (%s) is among the NICs that %s is for: leave it out there, or delete the row", card.Name, mac, definition.File)
		default:
			continue
		}
		return
	}
}

// stubOf is the definition by whose DHCP a card that is nobody's has what it has, if it may be taken from it; nil: there is none.
func (d *decider) stubOf(card Link) *Definition {
	if _, claimed := d.claims[card.MAC]; claimed || !d.kernel.TakeDHCP {
		return nil
	}
	for _, definition := range d.kernel.Definitions {
		if definition.IsStub() && definition.isFor(card.Name) {
			return &definition
		}
	}
	return nil
}

// IsStub says whether a definition has addresses asked for, for all NICs that are alike, as those of cloud images do.
func (d Definition) IsStub() bool { return d.DHCP && d.IsWide() }

// IsWide says whether a definition is for all NICs that are alike.
func (d Definition) IsWide() bool {
	return d.MAC == "" && slices.ContainsFunc(d.Names, func(name string) bool { return strings.ContainsAny(name, "*?[!") })
}

// isFor says whether a definition is for a NIC with a name. One that is for all but some is taken to be for it.
func (d Definition) isFor(name string) bool {
	return slices.ContainsFunc(d.Names, func(pattern string) bool {
		matches, err := path.Match(pattern, name)
		return matches || err != nil || strings.HasPrefix(pattern, "!")
	})
}

// ComesFirst says whether a definition is asked before multinic's own and is for a NIC with a name of ours; an empty name: for any.
func (d Definition) ComesFirst(name string) bool {
	for number := range Interfaces {
		if d.First && (name == "" || name == nameOf(number)) && d.isFor(nameOf(number)) {
			return true
		}
	}
	return false
}

// unadoptable are the names under which somebody else's files stand of which nothing was understood.
func unadoptable(kernel Kernel) []string {
	var names []string
	for name, config := range kernel.Persisted {
		if config.Foreign != nil && config.MAC == "" {
			names = append(names, name)
		}
	}
	return names
}

// foreignFiles names somebody else's files that keep names of ours, for people; empty: there are none.
func (d *decider) foreignFiles() string {
	var names []string
	for name, config := range d.kernel.Persisted {
		if config.Foreign != nil {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	slices.Sort(names)
	return fmt.Sprintf(", or the host's file for one that is not multinic's (%s)", sentence(names))
}
