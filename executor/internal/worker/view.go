package worker

import (
	"context"
	"slices"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/record"
	"multinic.dev/executor/internal/transaction"
	"multinic.dev/executor/internal/work"
)

// view is one look at the kernel, and what follows from it.
type view struct {
	kernel plan.Kernel
	claims plan.Claims
	// wanted are the decisions on the set's items, but for those that have a problem of their own.
	wanted map[plan.Key]plan.Decision
	// shared are the changes of what belongs to no single interface.
	shared []plan.Change
	// standing are the decisions on the interfaces of the record that are not in wanted, as if what was last proved of them
	// were asked for. They are looked at, and never carried out.
	standing map[plan.Key]plan.Decision
	// foreseen is what would be done; only where the executor observes.
	foreseen plan.Foreseen
	// standingShared is to standing what shared is to wanted.
	standingShared []plan.Change
}

// look reads the kernel and decides what the set asks for, while what may not be made now waits.
func (r *round) look(ctx context.Context) (*view, error) {
	cards := r.Record.Cards()
	claims := record.Claims(cards)
	kernel, err := transaction.Read(ctx, r.Kernel, planItems(r.set), claims)
	if err != nil {
		return nil, err
	}
	v := &view{kernel: kernel, claims: claims}
	v.wanted, v.shared = byKey(plan.DecideWhile(planItems(r.set), claims, kernel, func(decision plan.Decision) bool { return !r.mayMake(decision) }))
	var standing []plan.Item
	for _, card := range cards {
		for _, one := range card.Interfaces {
			key := plan.Key{MAC: card.MAC, VLAN: one.VLAN}
			if _, wanted := v.wanted[key]; !wanted && one.Proved != nil {
				standing = append(standing, plan.Item{Key: key, Spec: *one.Proved})
			}
		}
	}
	v.standing, v.standingShared = byKey(plan.Decide(standing, claims, kernel))

	return v, nil
}

// byKey has the decisions of a plan by the keys of their items, and its shared changes.
func byKey(made plan.Plan) (map[plan.Key]plan.Decision, []plan.Change) {
	decisions := make(map[plan.Key]plan.Decision, len(made.Decisions))
	for _, decision := range made.Decisions {
		decisions[decision.Item.Key] = decision
	}

	return decisions, made.Shared
}

// release says whether something is in the way of a release. Its changes are not known, as not all settings were read.
func (v *view) release(release plan.Release) plan.Released {
	return plan.Releases(release, v.claims, v.kernel)
}

// was is what a card is now, before it is multinic's.
func (v *view) was(card int, boot string) record.Was {
	for _, link := range v.kernel.Links {
		if link.Index == card {
			return record.Was{
				Original: plan.Original{Name: link.Name, Up: link.Up, MTU: link.MTU, Settings: link.Settings}, Link: card, Boot: boot,
			}
		}
	}

	return record.Was{Boot: boot}
}

// foreseenFor are the changes that would be made for an item, with those of what belongs to no single interface where the item
// needs them.
func (v *view) foreseenFor(item work.Item) []plan.Change {
	changes := slices.Clone(v.foreseen.Items[item.Key])
	if item.Spec.Address.IsValid() {
		changes = append(changes, v.foreseen.Shared...)
	}

	return changes
}

// observed is what the kernel has of a decision's link; nil where there is none.
func (v *view) observed(decision plan.Decision) *plan.Observed {
	if decision.Link == 0 {
		return nil
	}
	observed := plan.Observe(v.kernel, decision.Link, decision.Name)

	return &observed
}
