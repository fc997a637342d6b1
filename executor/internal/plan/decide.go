package plan

import (
	"fmt"
	"net/netip"
	"slices"
)

// Decide plans what must change so that a kernel becomes what items ask for. Claims are the names on disk by the
// permanent addresses of their NICs, which no two NICs share; an interface that is claimed and not among the items stays
// as it is, and so does everything that is not multinic's.
//
// A plan without any change says that the kernel is what the items with no obstacle ask for, exactly: so Decide on what
// was read afterwards is also the proof. A kernel does more at a change than it was told, so a second or third plan may
// be needed until then; each comes closer.
func Decide(items []Item, claims map[string]string, kernel Kernel) Plan {
	d := decider{claims: claims, kernel: kernel, carriedOut: map[int]*Decision{}, names: map[int]string{}, removed: map[Rule]bool{}}
	for _, link := range kernel.Links {
		d.names[link.Index] = link.Name
	}
	d.decisions = make([]Decision, len(items))
	for i, item := range items {
		d.decisions[i] = d.byItself(item, items[:i])
		if d.decisions[i].Obstacle == None {
			d.carriedOut[d.decisions[i].Link] = &d.decisions[i]
		}
	}
	d.refuseConflicts()
	d.settle()
	for i := range d.decisions {
		if decision := &d.decisions[i]; decision.Obstacle == None {
			decision.Changes = d.changes(decision)
		}
	}
	return Plan{Decisions: d.decisions, Shared: d.sharedChanges()}
}

// decider is one run of Decide.
type decider struct {
	claims    map[string]string
	kernel    Kernel
	decisions []Decision
	// carriedOut are the decisions without an obstacle by their link.
	carriedOut map[int]*Decision
	// names are the names of the links after the changes planned so far.
	names map[int]string
	// removed are the rules that are planned to go.
	removed map[Rule]bool
}

// refusef gives a decision an obstacle.
func (d *decider) refusef(decision *Decision, obstacle Obstacle, format string, args ...any) {
	decision.Obstacle, decision.Message = obstacle, fmt.Sprintf(format, args...)
	if d.carriedOut[decision.Link] == decision {
		delete(d.carriedOut, decision.Link)
	}
	decision.Name = ""
	if decision.Item.Key.VLAN == 0 {
		decision.Name = d.claims[decision.Item.Key.MAC]
	}
}

// byItself decides on an item as far as the others after it do not matter.
func (d *decider) byItself(item Item, earlier []Item) Decision {
	decision := Decision{Item: item}
	candidates := d.candidates(item.Key.MAC)
	if len(candidates) == 1 {
		decision.Link = candidates[0].Index
	}
	claim, claimed := d.claims[item.Key.MAC]
	problem := item.Spec.problem()
	switch {
	case slices.ContainsFunc(earlier, func(e Item) bool { return e.Key == item.Key }):
		d.refusef(&decision, SpecInvalid, "the interface of %s is asked for twice: ask for it once", item.Key.MAC)
	case item.Key.VLAN != 0:
		d.refusef(&decision, Unsupported, "VLAN %d on %s: this version cannot make VLANs; use one that can, or vlan 0", item.Key.VLAN, item.Key.MAC)
	case problem != "":
		d.refusef(&decision, SpecInvalid, "%s", problem)
	case len(candidates) == 0:
		d.refusef(&decision, LinkNotFound, "no NIC of this node has the MAC address %s: attach it, or correct the MAC address", item.Key.MAC)
	case len(candidates) > 1:
		d.refusef(&decision, LinkAmbiguous, "%s all have the MAC address %s: give each NIC its own", sentence(namesOf(candidates)), item.Key.MAC)
	default:
		if uses := d.uses(candidates[0], claimed); len(uses) > 0 {
			d.refusef(&decision, LinkInUse, "%s (%s) is in use by something else: it has %s; free the NIC first, or delete its row",
				candidates[0].Name, item.Key.MAC, sentence(uses))
			return decision
		}
		decision.Name = claim
		if _, ok := Number(claim); claimed && !ok {
			d.refusef(&decision, NoFreeName, "the name of %s on disk is %q, which is none of multinic0 to multinic9: correct the state file",
				item.Key.MAC, claim)
		}
	}
	return decision
}

// candidates are the links that can be the NIC with a permanent address. Kinds that stand on other links, such as VLANs
// and macvlans, copy their MAC and are none.
func (d *decider) candidates(mac string) []Link {
	var found []Link
	for _, link := range d.kernel.Links {
		if link.MAC == mac && mac != "" && !link.Loopback && (link.Kind == "" || link.Kind == "veth") {
			found = append(found, link)
		}
	}
	return found
}

// isOurs says whether a link is the NIC of a claim.
func (d *decider) isOurs(link Link) bool {
	_, claimed := d.claims[link.MAC]
	return claimed && len(d.candidates(link.MAC)) == 1 && d.candidates(link.MAC)[0].Index == link.Index
}

// settle gives names and refuses what cannot be carried out because of what stays as it is, until neither changes the
// other any more. Each round refuses at least one item, so it ends.
func (d *decider) settle() {
	for d.refuseWhatStaysInTheWay() || !d.giveNames() {
	}
}

// refuseWhatStaysInTheWay refuses items whose name or address another link keeps. It says whether it refused any.
func (d *decider) refuseWhatStaysInTheWay() bool {
	refused := false
	for i := range d.decisions {
		decision := &d.decisions[i]
		if decision.Obstacle != None {
			continue
		}
		for _, link := range d.kernel.Links {
			if link.Index == decision.Link || d.carriedOut[link.Index] != nil {
				continue
			}
			claim := d.claims[decision.Item.Key.MAC]
			address := decision.Item.Spec.Address.Addr()
			switch {
			case claim != "" && link.Name == claim:
				d.refusef(decision, NoFreeName, "%s is the name of %s on disk, and another link (index %d, MAC %q) bears it: rename that link",
					claim, decision.Item.Key.MAC, link.Index, link.MAC)
			case d.isOurs(link) && link.hasAddress(address):
				d.refusef(decision, SubnetConflict, "%s is the address of %s, which keeps it: choose another, or give that NIC another first",
					address, link.Name)
			default:
				continue
			}
			refused = true
			break
		}
	}
	return refused
}

func (l Link) hasAddress(address netip.Addr) bool {
	return slices.ContainsFunc(l.Addresses, func(a Address) bool { return a.Prefix.Addr() == address })
}

// sharedChanges are the changes of the rules for traffic that is bound to no address.
func (d *decider) sharedChanges() []Change {
	var wanted []Rule
	if d.anyHasAddress() {
		wanted = sharedRules()
	}
	missing, surplus := compare(wanted, d.kernel.Rules, func(r Rule) bool {
		return !r.Other && (r.Table == SharedTable || r.Protocol == Protocol && (r.Preference == prefMainUnbound || r.Preference == prefShared))
	})
	return append(addRules(missing), d.removeRules(surplus)...)
}

// anyHasAddress says whether any interface has an address and keeps it, or gets one.
func (d *decider) anyHasAddress() bool {
	return slices.ContainsFunc(d.kernel.Links, func(link Link) bool {
		if decision := d.carriedOut[link.Index]; decision != nil {
			return decision.Item.Spec.Address.IsValid()
		}
		return d.isOurs(link) && slices.ContainsFunc(link.Addresses, func(a Address) bool { return a.Prefix.Addr().Is4() && !a.LinkLocal })
	})
}

// compare is the difference between what is wanted and what there is: which of wanted there is not, and which of those
// that concern us is not wanted, or is there once more.
func compare[T comparable](wanted, has []T, concerns func(T) bool) (missing, surplus []T) {
	missing = slices.Clone(wanted)
	for _, one := range has {
		if i := slices.Index(missing, one); i >= 0 {
			missing = slices.Delete(missing, i, i+1)
		} else if concerns(one) {
			surplus = append(surplus, one)
		}
	}
	return missing, surplus
}

func addRules(rules []Rule) []Change {
	var changes []Change
	for _, rule := range rules {
		changes = append(changes, AddRule{rule})
	}
	return changes
}

// removeRules takes rules away, each but once, whatever number of decisions it is surplus for.
func (d *decider) removeRules(rules []Rule) []Change {
	var changes []Change
	for _, rule := range rules {
		if !d.removed[rule] {
			d.removed[rule] = true
			changes = append(changes, RemoveRule{rule})
		}
	}
	return changes
}
