package plan

import (
	"fmt"
	"slices"
)

// Original is what a card was before it became multinic's.
type Original struct {
	Name string `json:"name"`
	Up   bool   `json:"up"`
	// MTU is in bytes.
	MTU int `json:"mtu"`
	// Settings are those of Settings() that the card had, by their Path.
	Settings map[string]string `json:"settings,omitempty"`
}

// up is a card that was up.
func (o *Original) up() *Original {
	var up Original
	if o != nil {
		up = *o
	}
	up.Up = true
	return &up
}

// Release is what a card gives up.
type Release struct {
	MAC string
	// VLANs are the interfaces that go, 0 being the untagged one.
	VLANs []int
	// Whole says that none of the card's interfaces stays: then it also gets back the name, the MTU and the settings that it
	// had, and goes down.
	Whole bool
	// Original is what the card was; nil: that is not known, and a card that is given up whole keeps its MTU and settings.
	Original *Original
	// KeepUp says that a card that was up before it became multinic's is left up.
	KeepUp bool
}

// Released is what becomes of a release.
type Released struct {
	// Obstacle is None when it can be carried out; Message then is empty, else one sentence for people.
	Obstacle Obstacle
	Message  string
	// Changes make it so, in this order. Empty without an obstacle: it is so already.
	Changes []Change
}

// Releases plans what must change so that nothing is left of the interfaces of a release. The links of the card must have
// their Settings, whatever their names. What the rest of the claims have stays. As with Decide, a plan without a change is
// the proof. A card that has a double, or that
// somebody else has put to use, is not touched.
func Releases(release Release, claims Claims, kernel Kernel) Released {
	kernel, leased := withoutLeases(kernel, release.MAC)
	if leased {
		release.KeepUp, release.Original = true, release.Original.up()
	}
	d := decider{recorded: claims, claims: claims, kernel: kernel, names: map[int]string{}, removed: map[Rule]bool{}}
	for _, link := range kernel.Links {
		d.names[link.Index] = link.Name
	}
	all := d.candidates(release.MAC)
	if len(all) > 1 {
		return Released{Obstacle: LinkAmbiguous, Message: d.ambiguous(all)}
	}
	card := Link{}
	if len(all) == 1 {
		card = all[0]
	}
	if enslaved := d.enslaved(card, release); enslaved.Master != 0 {
		return Released{Obstacle: LinkInUse, Message: fmt.Sprintf("%s (%s) is in use by something else: it has the master %s; free the NIC first",
			enslaved.Name, release.MAC, d.linkName(enslaved.Master))}
	}
	var changes []Change
	for _, vlan := range slices.Sorted(slices.Values(release.VLANs)) {
		itself := Decision{Item: Item{Key: Key{MAC: release.MAC, VLAN: vlan}}, Card: card.Index, Link: card.Index}
		itself.setName(claims[release.MAC].Name)
		if vlan != 0 {
			itself.Link = d.vlanOn(card.Index, vlan)
		}
		changes = append(changes, d.leave(&itself)...)
		if vlan != 0 && itself.Link != 0 {
			changes = append(changes, RemoveVLAN{itself.Link, d.names[itself.Link]})
		}
	}
	if release.Whole && card.Index != 0 {
		changes = append(changes, d.giveBack(card, release)...)
	}
	return Released{Changes: append(changes, releasePersistence(release, claims, kernel)...)}
}

// withoutLeases is a kernel without what a card was given by DHCP under a name that is not multinic's, and whether it has anything of the
// kind: somebody has it again.
func withoutLeases(k Kernel, mac string) (Kernel, bool) {
	leased := map[int]bool{}
	k.Links = slices.Clone(k.Links)
	for i := range k.Links {
		link := &k.Links[i]
		if link.MAC == mac && link.Kind != kindVLAN && !IsOurName(link.Name) && len(link.Leased) > 0 {
			leased[link.Index] = true
			lost := link.Leased
			link.Addresses = slices.DeleteFunc(slices.Clone(link.Addresses), func(a Address) bool { return slices.Contains(lost, a.Prefix) })
		}
	}
	if len(leased) == 0 {
		return k, false
	}
	k.Routes = slices.DeleteFunc(slices.Clone(k.Routes), func(r Route) bool { return leased[r.Link] && isOfDHCP(r) })
	return k, true
}

// isOfDHCP says whether a route is one that comes with an address by DHCP.
func isOfDHCP(route Route) bool {
	return slices.Contains([]int{protocolKernel, protocolRA, protocolDHCP}, route.Protocol)
}

// enslaved is the first link of those that a release concerns that has a master; the zero Link: none has.
func (d *decider) enslaved(card Link, release Release) Link {
	for _, link := range d.kernel.Links {
		isCard := link.Index == card.Index && (release.Whole || slices.Contains(release.VLANs, 0))
		isVLAN := link.Kind == kindVLAN && link.Lower == card.Index && slices.Contains(release.VLANs, link.VLAN)
		if card.Index != 0 && link.Master != 0 && (isCard || isVLAN) {
			return link
		}
	}
	return Link{}
}

// vlanOn is the index of the VLAN on a card; 0: there is none.
func (d *decider) vlanOn(card, vlan int) int {
	for _, link := range d.kernel.Links {
		if link.Kind == kindVLAN && link.Lower == card && link.VLAN == vlan && card != 0 {
			return link.Index
		}
	}
	return 0
}

// leave takes away all that an interface carries. Of one whose link is gone, only rules are left.
func (d *decider) leave(decision *Decision) []Change {
	if decision.Link != 0 {
		return d.content(Spec{}, decision)
	}
	number, ours := Number(decision.NIC)
	if !ours {
		return nil
	}
	_, stale := d.rules(Spec{}, decision, place{number, decision.Item.Key.VLAN})
	return d.removeRules(stale)
}

// giveBack makes a card what it was before it was multinic's. One that has no name of ours any more was given back already.
func (d *decider) giveBack(card Link, release Release) []Change {
	var changes []Change
	original := release.Original
	up := original != nil && original.Up && release.KeepUp
	if card.Up && !up {
		changes = append(changes, SetDown{card.Index, card.Name})
	}
	if original != nil {
		if card.MTU != original.MTU && original.MTU != 0 {
			changes = append(changes, SetMTU{card.Index, card.Name, original.MTU})
		}
		changes = append(changes, setBack(card.Settings, original.Settings, card.Name)...)
	}
	if _, ours := Number(card.Name); ours {
		changes = append(changes, d.rename(card.Index, d.formerName(card, original)))
	}
	return changes
}

// formerName is the name that a card had, or, where another link bears it by now, one that no other can have.
func (d *decider) formerName(card Link, original *Original) string {
	if original == nil || original.Name == "" || IsOurName(original.Name) ||
		slices.ContainsFunc(d.kernel.Links, func(l Link) bool { return l.Name == original.Name && l.Index != card.Index }) {
		return aside(card.Index)
	}
	return original.Name
}

// setBack gives settings the values that they had; name is the link's.
func setBack(has, had map[string]string, name string) []Change {
	var changes []Change
	for _, setting := range Settings() {
		value, there := had[setting.Path]
		if is, known := has[setting.Path]; there && known && is != value {
			changes = append(changes, Set{fmt.Sprintf(setting.Path, name), value})
		}
	}
	return changes
}
