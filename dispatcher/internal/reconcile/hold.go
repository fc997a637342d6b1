package reconcile

import (
	"net/netip"
	"time"

	"go.uber.org/zap"
	"google.golang.org/protobuf/types/known/timestamppb"

	"multinic.dev/dispatcher/internal/inventory"
	"multinic.dev/dispatcher/internal/wire"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

// lookAgain is how often nodes are looked at that have something to wait for: a removal comes so much later at most.
const lookAgain = 500 * time.Millisecond

// claims say which nodes have items for a MAC, and which items there are for an address.
type claims struct {
	macs      map[string]map[*node]int
	addresses map[netip.Addr]map[claimant]bool
}

// claimant is an item of a node.
type claimant struct {
	node *node
	key  inventory.Key
}

func newClaims() claims {
	return claims{macs: make(map[string]map[*node]int), addresses: make(map[netip.Addr]map[claimant]bool)}
}

// set counts a node for its items, in the place of those that it was counted for.
func (c *claims) set(n *node, items []inventory.Item) {
	for _, item := range n.claimed {
		if c.macs[item.Key.MAC][n]--; c.macs[item.Key.MAC][n] == 0 {
			delete(c.macs[item.Key.MAC], n)
		}
		if len(c.macs[item.Key.MAC]) == 0 {
			delete(c.macs, item.Key.MAC)
		}
		if address := item.Spec.Address.Addr(); address.IsValid() {
			drop(c.addresses, address, claimant{n, item.Key})
		}
	}
	n.claimed = items
	for _, item := range items {
		if c.macs[item.Key.MAC] == nil {
			c.macs[item.Key.MAC] = make(map[*node]int)
		}
		c.macs[item.Key.MAC][n]++
		if address := item.Spec.Address.Addr(); address.IsValid() {
			put(c.addresses, address, claimant{n, item.Key})
		}
	}
}

// by says whether an item of another node has a MAC, which counts where its link is not present, or any item an address that it has not
// got yet. One that has it knows of it on another network, and needs it from nobody.
func (c *claims) by(n *node, key inventory.Key, address netip.Addr, present bool) bool {
	for other := range c.macs[key.MAC] {
		if other != n && !present {
			return true
		}
	}

	for one := range c.addresses[address] {
		if one.node.Lacks(one.key, address) {
			return true
		}
	}

	return false
}

// ruleFor is by what it is decided how long a node's interfaces are kept that no row asks for.
func (r *Reconciler) ruleFor(n *node) inventory.Rule {
	rule := r.rule
	rule.Claimed = func(key inventory.Key, address netip.Addr, present bool) bool {
		return r.claims.by(n, key, address, present)
	}

	return rule
}

// gather counts what a node has and asks for, and has the guard know what would disturb it. It sends nothing.
func (r *Reconciler) gather(n *node) {
	r.claims.set(n, n.Items())
	r.fleet.Count(n.taken, len(n.Taken()))
	n.taken = len(n.Taken())
	if r.health.Read {
		r.lookForStrays(n)
		r.guard.Want(n.name, n.Review(r.now()))
	}
	if n.Waiting() {
		r.waiting[n.name] = n
	} else {
		delete(r.waiting, n.name)
	}
	if len(r.waiting) == 0 {
		r.wake = nil
	} else if r.wake == nil {
		r.wake = time.After(lookAgain)
	}
}

// look has the guard judge what is wanted, and says so if it holds from now on, or no more.
func (r *Reconciler) look() {
	if !r.isSettled() || !r.guard.Look(r.now(), r.fleet) {
		return
	}
	if reason, _ := r.guard.Holding(); reason != "" {
		r.log.Error("the guard holds removals and changes of working interfaces until an operator releases them (FleetService.ReleaseGuard)",
			zap.String("reason", reason), zap.Int("held", r.guard.Total()), zap.String("token", r.guard.Issue(r.now())))
	} else {
		r.log.Info("the guard holds nothing any more: what it held is not wanted any more")
	}
}

// proceed lets through what may go of a node's disturbances, and sends what is due.
func (r *Reconciler) proceed(n *node) {
	r.look()
	if r.isSettled() && r.guard.Reason(n.name) == "" {
		r.pass(n, n.Ripe(r.ruleFor(n), r.guard.Wanted(n.name)))
	}
	n.Release(r.ruleFor(n))
	r.advance(n)
}

// pass lets disturbances of a node through.
func (r *Reconciler) pass(n *node, disturbances []inventory.Disturbance) {
	if len(disturbances) == 0 {
		return
	}
	now := r.now()
	n.Pass(disturbances)
	r.guard.Passed(n.name, disturbances, now)
	r.guard.Want(n.name, n.Review(now))
	r.count(n, disturbances)
}

func (r *Reconciler) count(n *node, disturbances []inventory.Disturbance) {
	for _, one := range disturbances {
		if one.Desired != nil {
			r.stats.Changes++
			continue
		}
		r.stats.Removals++
		r.log.Info("an interface is to be removed: no row asks for it any more", zap.String("node", n.name),
			zap.String("mac", one.Key.MAC), zap.Int("vlan", one.Key.VLAN))
	}
}

// settleWithin is how long after the first full read nodes are waited for that the table names.
const settleWithin = 20 * time.Second

// isSettled says whether enough is known of the fleet to judge what would disturb it: the nodes that the table names have reported, or
// were waited for. One after the other, they would show too little at a time for the guard to notice that the table is the wrong one.
func (r *Reconciler) isSettled() bool {
	if r.health.Read && !r.settled {
		r.settled = len(r.unheard) == 0 || r.now().Sub(r.readAt) >= settleWithin
		if r.settled {
			r.unheard = nil
		}
	}

	return r.settled
}

// proceedAll looks again at all nodes that have something to wait for.
func (r *Reconciler) proceedAll() {
	r.wake = nil
	for _, n := range r.waiting {
		r.gather(n)
	}
	for _, n := range r.waiting {
		r.proceed(n)
		r.gather(n)
		r.forget(n)
	}
	if len(r.waiting) > 0 && r.wake == nil {
		r.wake = time.After(lookAgain)
	}
}

// hold says why something about an interface of a node is held back; nil: nothing is.
func (r *Reconciler) hold(n *node, key inventory.Key) *multinicv1.Hold {
	if stray := n.stray(key); stray != nil {
		return stray
	}
	reason, until := n.Held(key, r.ruleFor(n))
	if reason == inventory.HoldDown && r.guard.Reason(n.name) != "" && r.isWanted(n, key) {
		reason = inventory.Guarded
	}
	if reason != inventory.NotHeld && !r.isSettled() {
		return &multinicv1.Hold{
			Reason:  multinicv1.HoldReason_HOLD_REASON_SETTLING,
			Message: "the dispatcher has only just started: nothing that works is changed before the table's nodes have reported, or 20 seconds have passed",
		}
	}
	switch reason {
	case inventory.NotHeld:
	case inventory.HoldDown:
		return &multinicv1.Hold{
			Reason: multinicv1.HoldReason_HOLD_REASON_HOLD_DOWN, Until: timestamppb.New(until),
			Message: "no row asks for the interface any more: it is removed if none does until then",
		}
	case inventory.Guarded:
		return &multinicv1.Hold{
			Reason:  multinicv1.HoldReason_HOLD_REASON_GUARD,
			Message: r.guard.Reason(n.name) + ": look at what is held with GetGuard, and let it through with ReleaseGuard if it is meant",
		}
	case inventory.UnreadableRow:
		return &multinicv1.Hold{
			Reason:  multinicv1.HoldReason_HOLD_REASON_UNREADABLE_ROW,
			Message: "no row asks for the interface, but a row of the node has a mac_address or vlan that cannot be read, and may be the one: correct it",
		}
	}

	return nil
}

func (r *Reconciler) isWanted(n *node, key inventory.Key) bool {
	for _, one := range r.guard.Wanted(n.name) {
		if one.Key == key {
			return true
		}
	}

	return false
}

// mostHeld is how many held disturbances are shown.
const mostHeld = 1000

// Guard returns what the guard holds, and how it stands with the table.
func (r *Reconciler) Guard() (guard *multinicv1.Guard, health Health, err error) {
	err = ErrStopped
	r.ask(func() {
		health, err = r.health, nil
		reason, since := r.guard.Holding()
		guard = &multinicv1.Guard{Reason: reason, Token: r.guard.Issue(r.now())}
		if reason == "" {
			return
		}
		guard.Since, guard.Total = timestamppb.New(since), int32(r.guard.Total())
		for _, name := range r.guard.Held() {
			for _, one := range r.guard.Wanted(name) {
				if len(guard.GetHeld()) == mostHeld {
					return
				}
				held := &multinicv1.HeldChange{NodeName: printable(name), Key: wire.FromKey(one.Key), Proved: wire.FromStanding(one.Standing)}
				if one.Desired != nil {
					held.Desired = wire.FromSpec(*one.Desired)
				}
				guard.Held = append(guard.Held, held)
			}
		}
	})

	return guard, health, err
}

// ReleaseGuard lets through what the guard still holds of the set that a token names, and says how many removals and changes that are;
// false: the token is none that was given out lately, or nothing of its set is held any more.
func (r *Reconciler) ReleaseGuard(token string) (released int, is bool, health Health, err error) {
	err = ErrStopped
	r.ask(func() {
		health, err = r.health, nil
		var sets map[string][]inventory.Disturbance
		if sets, is = r.guard.Release(token, r.now()); !is {
			return
		}
		for name, disturbances := range sets {
			released += len(disturbances)
			if n := r.nodes[name]; n != nil {
				n.Pass(disturbances)
				r.count(n, disturbances)
			}
		}
		r.log.Warn("an operator has released what the guard held", zap.Int("released", released))
		for name := range sets {
			if n := r.nodes[name]; n != nil {
				r.gather(n)
				r.proceed(n)
			}
		}
	})

	return released, is, health, err
}

// Retry has a node try again what failed, and returns the generation under which it does; 0: it has no session. Found says whether
// the node is known.
func (r *Reconciler) Retry(name string) (generation uint64, found bool, health Health, err error) {
	err = ErrStopped
	r.ask(func() {
		health, err = r.health, nil
		known := r.nodes[name]
		if owner := r.ownerOf(name); known == nil {
			known = owner
		}
		if found = known != nil; found && known.session != nil && known.Retry() {
			r.proceed(known)
			generation = known.Generation()
		}
	})

	return generation, found, health, err
}
