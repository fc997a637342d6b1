package plan

import "slices"

// Shared are the changes of what belongs to no single interface, as if every interface stayed as it is.
func Shared(claims Claims, kernel Kernel) []Change { return Decide(nil, claims, kernel).Shared }

// sharedRules are the node's rules for traffic that is bound to no address, while any interface has an address, in the order in
// which they must stand. Has are all rules that there are.
//
// The kernel gives a rule that is added without a preference the highest free one: 32765 first of all. Somebody's rule that was
// there before must go on being asked before ours, so where 32765 is taken both of ours have it too: of one preference, the rule
// that was added first is asked first.
func sharedRules(has []Rule) []Rule {
	unbound := prefMainUnbound
	if slices.ContainsFunc(has, func(r Rule) bool { return r.Preference == prefShared && r.isForeign() }) {
		unbound = prefShared
	}
	return []Rule{
		{Preference: unbound, Table: MainTable, WithoutDefault: true, Protocol: Protocol},
		{Preference: prefShared, Table: SharedTable, Protocol: Protocol},
	}
}

// isForeign says whether a rule is somebody else's: not marked as multinic's, and not into its table.
func (r Rule) isForeign() bool { return r.asOurs().Protocol != Protocol && r.Table != SharedTable }

// sharedChanges are the changes of the rules for traffic that is bound to no address.
func (d *decider) sharedChanges() []Change {
	var wanted []Rule
	switch {
	case d.aboutTo || d.anyHasAddress():
		wanted = sharedRules(d.kernel.Rules)
	case d.strangersNeedThem():
		return nil
	}
	isShared := func(table int) bool { return table == SharedTable }
	_, surplus := compareAs(wanted, d.kernel.Rules, Rule.asOurs, func(r Rule) bool {
		return !r.Other && (r.Table == SharedTable || r.isMarked(d.kernel.Rules, isShared) && (r.Preference == prefMainUnbound || r.Preference == prefShared))
	})
	return append(inOrder(wanted, d.kernel.Rules), d.removeRules(surplus)...)
}

// strangersNeedThem says whether multinic has set up interfaces of which nothing is known here, as when the state directory was
// lost or is another's.
func (d *decider) strangersNeedThem() bool {
	return slices.ContainsFunc(d.kernel.Routes, func(r Route) bool {
		return r.Table == SharedTable && r.Protocol == Protocol &&
			slices.ContainsFunc(d.kernel.Links, func(l Link) bool { return l.Index == r.Link && !d.isRecorded(l) && !d.becomesCarriedOut(l) })
	})
}

// inOrder adds the rules that are missing, and adds those anew that stand before a foreign rule of their preference, or before
// one of those that should be asked first.
func inOrder(wanted, has []Rule) []Change {
	var changes []Change
	moved := 0 // The preference of the rule that was added last.
	for _, rule := range wanted {
		at := slices.IndexFunc(has, func(r Rule) bool { return r.asOurs() == rule })
		isOvertaken := at >= 0 && slices.ContainsFunc(has[at:], func(r Rule) bool {
			before := slices.Index(wanted, r.asOurs())
			return r.Preference == rule.Preference && (r.isForeign() || before >= 0 && before < slices.Index(wanted, rule))
		})
		if at >= 0 && !isOvertaken && moved != rule.Preference {
			continue
		}
		if at >= 0 {
			changes = append(changes, RemoveRule{has[at]})
		}
		changes = append(changes, AddRule{rule})
		moved = rule.Preference
	}
	return changes
}

// anyHasAddress says whether any interface has an address and keeps it, or gets one.
func (d *decider) anyHasAddress() bool {
	for _, decision := range d.decisions {
		if decision.Obstacle == None && decision.Item.Spec.Address.IsValid() {
			return true
		}
	}
	return slices.ContainsFunc(d.kernel.Links, func(link Link) bool {
		return d.carriedOut[link.Index] == nil && d.isRecorded(link) &&
			slices.ContainsFunc(link.Addresses, func(a Address) bool { return a.Prefix.Addr().Is4() && !a.LinkLocal })
	})
}
