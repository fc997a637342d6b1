package worker

import (
	"context"
	"fmt"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/work"
)

// view is one look at the kernel, and what follows from it.
type view struct {
	kernel plan.Kernel
	// wanted are the decisions on the set's items, but for those that have a problem of their own.
	wanted map[plan.Key]plan.Decision
	// shared are the changes of what belongs to no single interface.
	shared []plan.Change
	// standing are the decisions on the interfaces of the record that are not in wanted, as if what was last proved of them
	// were asked for. They are looked at, and never carried out.
	standing map[plan.Key]plan.Decision
	// standingShared is to standing what shared is to wanted.
	standingShared []plan.Change
}

// look reads the kernel and decides what a set asks for.
func (w *Worker) look(ctx context.Context, set work.Set) (*view, error) {
	kernel, err := w.Kernel.Read(ctx)
	if err != nil {
		return nil, fmt.Errorf("read what the kernel has: %w", err)
	}
	claims := map[string]string{}
	for _, each := range w.Record.Interfaces() {
		claims[each.MAC] = each.Name
	}
	v := &view{kernel: kernel}
	var items []plan.Item
	for _, item := range set.Items {
		if (item.Problem == work.Problem{}) {
			items = append(items, plan.Item{Key: item.Key, Spec: item.Spec})
		}
	}
	v.wanted, v.shared = decide(items, claims, kernel)
	items = nil
	for _, each := range w.Record.Interfaces() {
		key := plan.Key{MAC: each.MAC}
		if _, wanted := v.wanted[key]; !wanted && each.Proved != nil {
			items = append(items, plan.Item{Key: key, Spec: *each.Proved})
		}
	}
	v.standing, v.standingShared = decide(items, claims, kernel)

	return v, nil
}

func decide(items []plan.Item, claims map[string]string, kernel plan.Kernel) (map[plan.Key]plan.Decision, []plan.Change) {
	made := plan.Decide(items, claims, kernel)
	decisions := make(map[plan.Key]plan.Decision, len(made.Decisions))
	for _, decision := range made.Decisions {
		decisions[decision.Item.Key] = decision
	}

	return decisions, made.Shared
}

// observed is what the kernel has of a decision's link; nil where there is none.
func (v *view) observed(decision plan.Decision) *plan.Observed {
	if decision.Link == 0 {
		return nil
	}
	observed := plan.Observe(v.kernel, decision.Link, decision.Name)

	return &observed
}
