package inventory

import (
	"net/netip"
	"slices"
	"time"

	"multinic.dev/dispatcher/internal/row"
)

// holds is what of a node's work is held back, and why: interfaces that no row asks for any more, and changes of what stands.
type holds struct {
	// taken are the interfaces that the node has, by its newest report, also of a session that has ended; nameless is for how
	// many NICs it has no name left. Present are those of taken whose link is there.
	taken    map[Key]*Standing
	present  map[Key]bool
	nameless int
	// reserved are keys that rows may ask for which cannot be told to be this node's, and vague says that such a row has no key
	// that could be read.
	reserved map[Key]bool
	vague    bool
	// strays are keys that rows of nodes ask for that are not there, and displaced are the nodes that have what this one's rows ask for,
	// by key, while this one is not there.
	strays    map[Key]bool
	displaced map[Key]string
	// absent is since when no row asks for an interface that the node has.
	absent map[Key]time.Time
	// passed is what was let through, by key: the content of a change, or removalContent.
	passed map[Key]string
	// held are the items that are not in the picture. The node says that their interfaces stand otherwise.
	held map[Key]bool
	// removals are what the node should give up now, ordered, and sentRemovals what it was last told to.
	removals, sentRemovals []Key
}

// removalContent is in the place of a content where an interface is to go.
const removalContent = "removal"

// MaxRemovals is how many removals one picture has.
const MaxRemovals = 64

// Disturbance is something that a working interface of a node is about to suffer.
type Disturbance struct {
	Key Key
	// Desired is what it is to become; nil: it is to be removed.
	Desired *Spec
	// Standing is what it was last proved to be; nil: that is not known.
	Standing *Standing
	// content names what it is to become, for the same thing to be recognised again.
	content string
}

// Rule is by what it is decided how long an interface that no row asks for is kept.
type Rule struct {
	// HoldDown is how long its row must have stayed away.
	HoldDown time.Duration
	// Read is when the newest read of the table that succeeded began: whatever happened since is not known. Blind says that one
	// which was begun since has failed; then nothing is decided.
	Read  time.Time
	Blind bool
	// Claimed says whether a row that is there has a claim to the address, of any node that has not got it, or to the MAC, of another:
	// then nothing is waited for. A MAC whose link is present is not claimed away: it cannot be on two nodes, and a node that comes under a wrong name
	// must not lose all that the rows of its right name ask for.
	Claimed func(key Key, address netip.Addr, present bool) bool
}

// Reserve says which keys rows may ask for that fit this node among others, and whether there is one of which not even the key can
// be read. Such an interface is kept.
func (n *Node) Reserve(keys map[Key]bool, vague bool) { n.reserved, n.vague = keys, vague }

// Keep says which interfaces are kept though no row of the node asks for them. The receiver keeps the map.
func (n *Node) Keep(strays map[Key]bool) { n.strays = strays }

// Displace says that another node has the NIC that this one's rows ask for; an empty name: none has, after all.
func (n *Node) Displace(key Key, holder string) {
	if holder == "" {
		delete(n.displaced, key)

		return
	}
	if n.displaced == nil {
		n.displaced = map[Key]string{}
	}
	n.displaced[key] = holder
}

// DisplacedTo is the node that has the NIC that this one's rows ask for, and is not there; empty: none.
func (n *Node) DisplacedTo(key Key) string {
	if n.open {
		return ""
	}

	return n.displaced[key]
}

// IsPresent says whether the link of an interface that the node has is there, by its newest report.
func (n *Node) IsPresent(key Key) bool { return n.present[key] }

// Asks says whether one of the node's own rows speaks of a key.
func (n *Node) Asks(key Key) bool {
	return slices.ContainsFunc(n.verdicts, func(v Verdict) bool { return v.Key == key })
}

// Keys are the keys that rows speak of, and whether there is a row of which not even the key can be read.
func Keys(rows []row.Row) (keys map[Key]bool, vague bool) {
	keys = make(map[Key]bool, len(rows))
	for _, r := range rows {
		key, _, _ := parse(r) // What else is wrong with it does not matter here.
		if key == (Key{}) {
			vague = true
		} else {
			keys[key] = true
		}
	}

	return keys, vague
}

// Taken are the interfaces that the node has, by its newest report. They are not to be changed.
func (n *Node) Taken() map[Key]*Standing { return n.taken }

// Review looks anew at what no row asks for, and returns what would disturb the node and was not let through yet, ordered by key:
// changes of what stands, and removals, from the moment that their row is absent. It needs a table that was read.
func (n *Node) Review(now time.Time) []Disturbance {
	if !n.read {
		return nil
	}
	asked, unreadable := n.asked()
	if n.absent == nil {
		n.absent, n.passed = map[Key]time.Time{}, map[Key]string{}
	}
	for key := range n.taken {
		if _, known := n.absent[key]; !known && !asked[key] {
			n.absent[key] = now
		}
	}
	for key := range n.absent {
		if _, has := n.taken[key]; !has || asked[key] {
			delete(n.absent, key)
		}
	}
	wanted := n.wanted(unreadable)
	current := map[Key]string{}
	n.held = map[Key]bool{}
	var waiting []Disturbance
	for _, one := range wanted {
		current[one.Key] = one.content
		if n.passed[one.Key] == one.content {
			continue
		}
		waiting = append(waiting, one)
		if one.Desired != nil {
			n.held[one.Key] = true
		}
	}
	for key, content := range n.passed {
		if current[key] != content {
			delete(n.passed, key)
		}
	}

	return waiting
}

// asked are the keys that the rows speak of, and whether there is a row whose key cannot be read: it may speak of any.
func (n *Node) asked() (asked map[Key]bool, unreadable bool) {
	asked, unreadable = make(map[Key]bool, len(n.verdicts)), n.vague
	for _, verdict := range n.verdicts {
		asked[verdict.Key] = true
		unreadable = unreadable || verdict.Key == Key{}
	}
	for key := range n.reserved {
		asked[key] = true
	}
	for key := range n.strays {
		asked[key] = true
	}

	return asked, unreadable
}

// wanted are all disturbances that the rows amount to.
func (n *Node) wanted(unreadable bool) []Disturbance {
	var wanted []Disturbance
	for i := range n.items {
		item := &n.items[i]
		standing, has := n.taken[item.Key]
		if has && standing != nil && *standing != item.Spec.standing() {
			wanted = append(wanted, Disturbance{Key: item.Key, Desired: &item.Spec, Standing: standing, content: item.Revision})
		}
	}
	if !unreadable {
		for key := range n.absent {
			wanted = append(wanted, Disturbance{Key: key, Standing: n.taken[key], content: removalContent})
		}
	}
	slices.SortFunc(wanted, func(a, b Disturbance) int { return a.Key.Compare(b.Key) })

	return wanted
}

// standing is what an interface stands at once it is what a spec asks for.
func (s Spec) standing() Standing {
	return Standing{Address: s.Address, Gateway: s.Gateway, MTU: s.MTU}
}

// Pass lets disturbances through, so that Next may carry them: a change at once, a removal when its time has come.
func (n *Node) Pass(disturbances []Disturbance) {
	for _, one := range disturbances {
		n.passed[one.Key] = one.content
		delete(n.held, one.Key)
	}
}

// Ripe are those of disturbances whose time has come: changes, and removals whose rows have stayed away for long enough, or whose
// MAC, address or name a row that is there needs.
func (n *Node) Ripe(rule Rule, disturbances []Disturbance) []Disturbance {
	needed := n.needed()
	return slices.DeleteFunc(slices.Clone(disturbances), func(one Disturbance) bool {
		return one.Desired == nil && !n.isRipe(rule, one.Key, needed)
	})
}

// Release sets the removals that Next carries: those that were let through and whose time has come.
// While the table cannot be read it adds none.
func (n *Node) Release(rule Rule) {
	needed := n.needed()
	_, unreadable := n.asked()
	before := n.removals
	n.removals = nil
	for key := range n.absent {
		goes := n.isRipe(rule, key, needed) || rule.Blind && slices.Contains(before, key)
		if !unreadable && n.passed[key] == removalContent && goes {
			n.removals = append(n.removals, key)
		}
	}
	slices.SortFunc(n.removals, Key.Compare)
	n.removals = n.removals[:min(len(n.removals), MaxRemovals)]
}

// isRipe says whether the time of a removal has come. It is not enough that the hold-down has passed: a row that has come back is
// seen only by a read that began afterwards.
func (n *Node) isRipe(rule Rule, key Key, needed map[string]bool) bool {
	if rule.Blind {
		return false
	}
	var address netip.Addr
	if standing := n.taken[key]; standing != nil {
		address = standing.Address.Addr()
	}

	return !rule.Read.Before(n.absent[key].Add(rule.HoldDown)) || needed[key.MAC] || rule.Claimed(key, address, n.present[key])
}

// needed are the MACs whose names are needed: of cards of which nothing is asked for, those that have been absent for longest.
func (n *Node) needed() map[string]bool {
	if n.nameless == 0 {
		return nil
	}
	since := map[string]time.Time{}
	for key, at := range n.absent {
		if before, found := since[key.MAC]; !found || at.After(before) {
			since[key.MAC] = at
		}
	}
	for key := range n.taken {
		if _, absent := n.absent[key]; !absent {
			delete(since, key.MAC)
		}
	}
	macs := make([]string, 0, len(since))
	for mac := range since {
		macs = append(macs, mac)
	}
	slices.SortFunc(macs, func(a, b string) int {
		if order := since[a].Compare(since[b]); order != 0 {
			return order
		}

		return Key{MAC: a}.Compare(Key{MAC: b})
	})
	needed := map[string]bool{}
	for _, mac := range macs[:min(n.nameless, len(macs))] {
		needed[mac] = true
	}

	return needed
}

// isHeld says whether an item is not to be in the picture.
func (n *Node) isHeld(key Key) bool { return n.held[key] }

// HoldReason says why something about an interface is held back.
type HoldReason int

// The reasons.
const (
	// NotHeld: nothing is.
	NotHeld HoldReason = iota
	// HoldDown: its row has not stayed away for long enough.
	HoldDown
	// Guarded: the guard holds it.
	Guarded
	// UnreadableRow: there is a row whose key cannot be read, which may be the interface's.
	UnreadableRow
)

// Held says why something about an interface is held back, and until when if that is known.
func (n *Node) Held(key Key, rule Rule) (reason HoldReason, until time.Time) {
	since, absent := n.absent[key]
	_, unreadable := n.asked()
	switch {
	case n.held[key]:
		return Guarded, time.Time{}
	case !absent || slices.Contains(n.removals, key):
		return NotHeld, time.Time{}
	case unreadable:
		return UnreadableRow, time.Time{}
	default:
		return HoldDown, since.Add(rule.HoldDown)
	}
}

// HasPassed says whether something was let through that the node is not known to have done.
func (n *Node) HasPassed() bool { return len(n.passed) > 0 }

// Waiting says whether something of the node waits for its time, or to be let through.
func (n *Node) Waiting() bool { return len(n.absent) > 0 || len(n.held) > 0 || len(n.strays) > 0 }
