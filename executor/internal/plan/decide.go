package plan

import (
	"fmt"
	"net/netip"
	"slices"
)

// Decide plans what must change so that a kernel becomes what items ask for. An interface that is claimed and not among
// the items stays as it is, and so does everything that is not multinic's.
//
// A plan without any change says that the kernel is what the items with no obstacle ask for, exactly: so Decide on what
// was read afterwards is also the proof. A kernel does more at a change than it was told, and a VLAN that is made has an
// index only then, so a second or third plan may be needed until then; each comes closer.
func Decide(items []Item, claims Claims, kernel Kernel) Plan {
	return decide(items, claims, kernel, false)
}

// decide is Decide; aboutTo says that other interfaces are about to have an address.
func decide(items []Item, claims Claims, kernel Kernel, aboutTo bool) Plan {
	d := decider{
		aboutTo: aboutTo, recorded: claims, claims: Adopt(claims, kernel), kernel: kernel,
		carriedOut: map[int]*Decision{}, cards: map[int]bool{}, ofCards: map[int][]Change{},
		names: map[int]string{}, removed: map[Rule]bool{}, persists: map[int][]Change{},
	}
	for _, link := range kernel.Links {
		d.names[link.Index] = link.Name
	}
	d.decisions = make([]Decision, len(items))
	for i, item := range items {
		d.decisions[i] = d.byItself(item, items[:i])
	}
	d.count()
	d.refuseConflicts()
	d.count()
	d.settle()
	for i := range d.decisions {
		if decision := &d.decisions[i]; decision.Obstacle == None {
			decision.Changes = d.changes(decision)
		}
	}
	return Plan{Decisions: d.decisions, Shared: d.sharedChanges()}
}

// DecideWhile plans as Decide does, while items wait that have something to change: waits says of which that is so, by what Decide
// plans for them. Their interfaces stay as they are meanwhile, with the names and addresses that they have, and others are planned
// for beside that. The decision on an item that waits is the one that waits was asked about.
func DecideWhile(items []Item, claims Claims, kernel Kernel, waits func(Decision) bool) Plan {
	waiting := make([]*Decision, len(items))
	aboutTo := false
	for {
		var rest []Item
		for i, item := range items {
			if waiting[i] == nil {
				rest = append(rest, item)
			}
		}
		p := decide(rest, claims, kernel, aboutTo)
		decisions := make([]Decision, 0, len(items))
		again := false
		for i, next := 0, 0; i < len(items); i++ {
			if waiting[i] != nil {
				decisions = append(decisions, *waiting[i])
				continue
			}
			decision := p.Decisions[next]
			next++
			decisions = append(decisions, decision)
			if decision.Obstacle == None && len(decision.Changes) > 0 && waits(decision) {
				waiting[i], again = &decision, true
				aboutTo = aboutTo || decision.Item.Spec.Address.IsValid()
			}
		}
		if !again {
			return Plan{Decisions: decisions, Shared: p.Shared}
		}
	}
}

// Takes says whether a card would be taken for items that is nobody's yet, or somebody else's by the host's files: then it must be
// known what stands on it elsewhere, and who else configures it.
func Takes(items []Item, claims Claims, kernel Kernel) bool {
	return slices.ContainsFunc(items, func(item Item) bool {
		claim, claimed := claims[item.Key.MAC]
		return (!claimed || kernel.Persisted[claim.Name].Foreign != nil) && len(candidates(kernel, item.Key.MAC)) == 1
	})
}

// decider is one run of Decide.
type decider struct {
	// recorded are the claims that the record has, and claims those and what is adopted.
	recorded Claims
	claims   Claims
	kernel   Kernel
	aboutTo  bool

	decisions []Decision
	// carriedOut are the decisions without an obstacle by their link, as far as it is there, and cards are the indices of
	// their cards.
	carriedOut map[int]*Decision
	cards      map[int]bool
	// ofCards are the changes that are planned for cards.
	ofCards map[int][]Change
	// names are the names of the links after the changes planned so far.
	names map[int]string
	// removed are the rules that are planned to go.
	removed map[Rule]bool
	// persists are the changes of what outlives a boot, by the index of the card.
	persists map[int][]Change
}

// count notes which links the decisions without an obstacle concern.
func (d *decider) count() {
	clear(d.carriedOut)
	clear(d.cards)
	for i := range d.decisions {
		decision := &d.decisions[i]
		if decision.Obstacle != None {
			continue
		}
		d.cards[decision.Card] = true
		if decision.Link != 0 {
			d.carriedOut[decision.Link] = decision
		}
	}
}

// refusef gives a decision an obstacle.
func (d *decider) refusef(decision *Decision, obstacle Obstacle, format string, args ...any) {
	decision.Obstacle, decision.Message = obstacle, fmt.Sprintf(format, args...)
	decision.setName(d.claims[decision.Item.Key.MAC].Name)
}

// setName names a decision by the name of its NIC.
func (d *Decision) setName(nic string) {
	d.NIC, d.Name = nic, nic
	if nic != "" {
		d.Name = NameOf(nic, d.Item.Key.VLAN)
	}
}

// byItself decides on an item as far as the others after it do not matter.
func (d *decider) byItself(item Item, earlier []Item) Decision {
	decision := Decision{Item: item}
	key := item.Key
	candidates := d.candidates(key.MAC)
	if len(candidates) == 1 {
		decision.Card = candidates[0].Index
		decision.Link = decision.Card
	}
	claim, claimed := d.claims[key.MAC]
	problem := item.Spec.problem()
	switch {
	case slices.ContainsFunc(earlier, func(e Item) bool { return e.Key == key }):
		d.refusef(&decision, SpecInvalid, "the interface of %s is asked for twice: ask for it once", key.MAC)
	case key.VLAN < 0 || key.VLAN > maxVLAN:
		d.refusef(&decision, SpecInvalid, "the VLAN id %d is out of range: ask for 1 to %d, or for none", key.VLAN, maxVLAN)
	case problem != "":
		d.refusef(&decision, SpecInvalid, "%s", problem)
	case len(candidates) == 0:
		d.refusef(&decision, LinkNotFound, "no NIC of this node has the MAC address %s: attach it, or correct the MAC address", key.MAC)
	case len(candidates) > 1:
		d.refusef(&decision, LinkAmbiguous, "%s", d.ambiguous(candidates))
	default:
		if uses := d.uses(candidates[0]); len(uses) > 0 {
			d.refusef(&decision, LinkInUse, "%s (%s) is in use by something else: it has %s; free the NIC first, or delete its row",
				candidates[0].Name, key.MAC, sentence(uses))
			return decision
		}
		if d.refuseOthers(&decision, candidates[0]); decision.Obstacle != None {
			return decision
		}
		decision.Stub = d.stubOf(candidates[0])
		decision.setName(claim.Name)
		if _, ok := Number(claim.Name); claimed && !ok {
			d.refusef(&decision, NoFreeName, "the name of %s on disk is %q, which is none of multinic0 to multinic9: correct the state file",
				key.MAC, claim.Name)
			return decision
		}
		if key.VLAN != 0 {
			d.findVLAN(&decision)
		}
	}
	return decision
}

// findVLAN finds the VLAN of a decision, and refuses one that would be somebody else's.
func (d *decider) findVLAN(decision *Decision) {
	key := decision.Item.Key
	decision.Link = 0
	for _, link := range d.kernel.Links {
		isIt := link.Kind == kindVLAN && link.Lower == decision.Card && link.VLAN == key.VLAN
		switch {
		case isIt && link.Master != 0:
			d.refusef(decision, LinkInUse, "%s (VLAN %d of %s) is in use by something else: it has the master %s; free the link first, or delete its row",
				link.Name, key.VLAN, key.MAC, d.linkName(link.Master))
			return
		case isIt && (link.Name == decision.Name || d.claims.has(key)):
			decision.Link = link.Index
		case isIt:
			d.refusef(decision, NameInUse, "VLAN %d on %s (%s) is there already as %s, which is not multinic's: delete that link, or choose another VLAN",
				key.VLAN, d.linkName(decision.Card), key.MAC, link.Name)
			return
		case link.Name == decision.Name && !d.isSurplus(link, decision):
			d.refusef(decision, NameInUse, "%s is the name of VLAN %d on %s, and another link (index %d) bears it: rename that link",
				decision.Name, key.VLAN, key.MAC, link.Index)
			return
		}
	}
}

// isSurplus says whether a link has the name of a decision's VLAN and stands on its card, but is of another VLAN: then it
// is multinic's by its name, and gives way.
func (d *decider) isSurplus(link Link, decision *Decision) bool {
	return link.Name == decision.Name && link.Kind == kindVLAN && link.Lower == decision.Card && link.VLAN != decision.Item.Key.VLAN
}

// kindVLAN is the kernel's name for the kind of 802.1Q VLANs.
const kindVLAN = "vlan"

// candidates are the links that can be the NIC with a permanent address. Kinds that stand on other links, such as VLANs
// and macvlans, copy their MAC and are none.
func (d *decider) candidates(mac string) []Link { return candidates(d.kernel, mac) }

func candidates(kernel Kernel, mac string) []Link {
	var found []Link
	for _, link := range kernel.Links {
		if link.MAC == mac && mac != "" && !link.Loopback && (link.Kind == "" || link.Kind == "veth") {
			found = append(found, link)
		}
	}
	return found
}

// ambiguous says that several links have one MAC address.
func (d *decider) ambiguous(links []Link) string {
	return fmt.Sprintf("%s all have the MAC address %s: give each NIC its own", sentence(namesOf(links)), links[0].MAC)
}

// IsOurs says whether a link is the NIC of a claim, or a VLAN of a claim on one.
func IsOurs(claims Claims, kernel Kernel, link Link) bool {
	if link.Kind == kindVLAN {
		i := slices.IndexFunc(kernel.Links, func(l Link) bool { return l.Index == link.Lower })
		return i >= 0 && kernel.Links[i].Kind != kindVLAN && IsOurs(claims, kernel, kernel.Links[i]) &&
			claims.has(Key{MAC: kernel.Links[i].MAC, VLAN: link.VLAN})
	}
	claim, claimed := claims[link.MAC]
	card, found := cardOf(kernel, link.MAC, claim.Name)
	return claimed && found && card.Index == link.Index
}

// cardOf is the NIC with a permanent address. Where several links have it, it is the one that bears a name which it has on disk:
// nothing is done to it while it has a double, but it is ours.
func cardOf(kernel Kernel, mac string, names ...string) (card Link, found bool) {
	all := candidates(kernel, mac)
	if len(all) > 1 {
		all = slices.DeleteFunc(all, func(l Link) bool { return !slices.Contains(names, l.Name) })
	}
	if len(all) != 1 {
		return Link{}, false
	}
	return all[0], true
}

func (d *decider) isOurs(link Link) bool { return IsOurs(d.claims, d.kernel, link) }

// isRecorded says whether a link is ours by the record, and not merely by the host's files.
func (d *decider) isRecorded(link Link) bool { return IsOurs(d.recorded, d.kernel, link) }

// becomesOurs says whether a link is ours after the plan.
func (d *decider) becomesOurs(link Link) bool { return d.isOurs(link) || d.becomesCarriedOut(link) }

func (d *decider) becomesCarriedOut(link Link) bool {
	return d.carriedOut[link.Index] != nil || d.cards[link.Index]
}

// settle gives names and refuses what cannot be carried out because of what stays as it is, until neither changes the
// other any more. Each round refuses at least one item, so it ends.
func (d *decider) settle() {
	for d.refuseWhatStaysInTheWay() || !d.giveNames() {
		d.count()
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
			claim := d.claims[decision.Item.Key.MAC].Name
			address := decision.Item.Spec.Address.Addr()
			switch {
			case claim != "" && link.Name == claim && !d.cards[link.Index]:
				d.refusef(decision, NameInUse, "%s is the name of %s on disk, and another link (index %d, MAC %q) bears it: rename that link",
					claim, decision.Item.Key.MAC, link.Index, link.MAC)
			case d.keeps(link) && link.hasAddress(address):
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

// keeps says whether a link that no item is for is ours and keeps what it carries. A card that is worked on for its VLANs,
// and is not claimed for itself, does not.
func (d *decider) keeps(link Link) bool {
	return d.isOurs(link) && (!d.cards[link.Index] || d.claims.has(Key{MAC: link.MAC}))
}

func (l Link) hasAddress(address netip.Addr) bool {
	return slices.ContainsFunc(l.Addresses, func(a Address) bool { return a.Prefix.Addr() == address })
}

// compare is the difference between what is wanted and what there is: which of wanted there is not, and which of those
// that concern us is not wanted, or is there once more.
func compare[T comparable](wanted, has []T, concerns func(T) bool) (missing, surplus []T) {
	return compareAs(wanted, has, func(one T) T { return one }, concerns)
}

// compareAs is compare with what there is as it counts.
func compareAs[T comparable](wanted, has []T, counts func(T) T, concerns func(T) bool) (missing, surplus []T) {
	missing = slices.Clone(wanted)
	for _, one := range has {
		if i := slices.Index(missing, counts(one)); i >= 0 {
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
