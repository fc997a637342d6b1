package transaction

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/record"
)

// Order is what a transaction is to make.
type Order struct {
	Items []plan.Item
	// Due says whether changes may be made for an item now; nil: for each. The interface of one that is not due stays as it is, and
	// whatever it has counts as taken.
	Due func(decision plan.Decision) bool
	// Begin is told of each item for which changes are about to be made; nil: nobody is.
	Begin func(decision plan.Decision)
	// Shared says whether changes of what belongs to no card may be made, if there are any; nil: they may.
	Shared func(changes []plan.Change) bool
}

// Make changes the cards of items so that the kernel is what the items ask for that are due, and proves it. What nothing needs to
// change for is not touched and not proved. It returns what failed.
func (t *Transactor) Make(ctx context.Context, order Order) Failures {
	kernel, err := Read(ctx, t.Kernel, order.Items, record.Claims(t.Record.Cards()))
	if err != nil {
		failures := Failures{}
		for _, item := range order.Items {
			failures[item.Key] = Failure{Kind: Unverified, Err: err}
		}
		return failures
	}
	m := making{Transactor: t, around: kernel, items: order.Items, waiting: map[plan.Key]bool{}}
	p := plan.DecideWhile(order.Items, record.Claims(t.Record.Cards()), kernel, func(decision plan.Decision) bool {
		m.waiting[decision.Item.Key] = order.Due != nil && !order.Due(decision)
		return m.waiting[decision.Item.Key]
	})
	for _, decision := range p.Decisions {
		if decision.Obstacle == plan.None && len(decision.Changes) > 0 && !m.waiting[decision.Item.Key] {
			m.chosen = append(m.chosen, decision)
		}
	}
	m.shared = len(p.Shared) > 0 && (order.Shared == nil || order.Shared(p.Shared)) || len(p.Shared) == 0 && len(m.chosen) > 0
	if len(m.chosen) == 0 && !m.shared {
		return nil
	}
	for _, decision := range m.chosen {
		if order.Begin != nil {
			order.Begin(decision)
		}
	}
	g := goal{names: map[string]string{}, stubs: map[string]*plan.Definition{}, left: m.left, claim: m.claim, proved: m.proved}
	for _, decision := range m.chosen {
		g.names[decision.Item.Key.MAC] = decision.NIC
		if decision.Stub != nil {
			g.stubs[decision.Item.Key.MAC] = decision.Stub
		}
	}
	return t.transact(ctx, g)
}

// making is what Make does.
type making struct {
	*Transactor

	// around is the kernel with its surroundings, as they were looked at before anything was changed.
	around plan.Kernel
	items  []plan.Item
	// waiting are those that are not due, chosen are the first decisions on those that are made, and shared says that so is what
	// belongs to no card.
	waiting map[plan.Key]bool
	chosen  []plan.Decision
	shared  bool
}

func (m *making) left(kernel plan.Kernel, claims plan.Claims) remainder {
	left := remainder{steps: map[string][]step{}, blocked: Failures{}}
	kernel.Put(m.around)
	p := plan.DecideWhile(m.items, claims, kernel, func(decision plan.Decision) bool { return m.waiting[decision.Item.Key] })
	for _, decision := range p.Decisions {
		key := decision.Item.Key
		isChosen := slices.ContainsFunc(m.chosen, func(d plan.Decision) bool { return d.Item.Key == key })
		if !isChosen {
			continue
		}
		if decision.Obstacle != plan.None {
			left.blocked[key] = blocked(decision.Obstacle, decision.Message)
		}
		for _, change := range decision.Changes {
			// Those of the card stand in the decisions of its VLANs as well.
			if !slices.ContainsFunc(left.steps[key.MAC], func(s step) bool { return s.change == change }) {
				left.steps[key.MAC] = append(left.steps[key.MAC], step{key, change})
			}
		}
	}
	if m.shared {
		left.shared = p.Shared
	}
	return left
}

func (m *making) claim(mac string, was record.Was) error {
	return m.forEach(mac, func(decision plan.Decision) error { return m.Record.Claim(decision.Item.Key, decision.NIC, was) })
}

func (m *making) proved(mac string) error {
	return m.forEach(mac, func(decision plan.Decision) error { return m.Record.Prove(decision.Item.Key, decision.Item.Spec) })
}

// forEach does something for each interface of a card that is made, until it fails.
func (m *making) forEach(mac string, do func(decision plan.Decision) error) error {
	for _, decision := range m.chosen {
		if decision.Item.Key.MAC != mac {
			continue
		}
		if err := do(decision); err != nil {
			return err
		}
	}
	return nil
}

// Foresee says what Release and then Make would do, were all of it due, and does nothing.
func (t *Transactor) Foresee(ctx context.Context, items []plan.Item, releases []plan.Release) (plan.Foreseen, error) {
	var macs []string
	for _, item := range items {
		macs = append(macs, item.Key.MAC)
	}
	for _, release := range releases {
		macs = append(macs, release.MAC)
	}
	claims := record.Claims(t.Record.Cards())
	kernel, err := t.readWhole(ctx, macs)
	if err == nil {
		err = lookAround(ctx, t.Kernel, items, claims, &kernel)
	}
	if err != nil {
		return plan.Foreseen{}, err
	}
	return plan.Foresee(items, releases, claims, kernel), nil
}

// ClearAway takes away what NICs of the record have left that are not there. Killed in between, it is begun anew, so the journal need not
// know of it.
func (t *Transactor) ClearAway(ctx context.Context) error {
	if err := t.Recover(ctx); err != nil {
		return err
	}
	kernel, err := t.Kernel.Read(ctx)
	if err != nil {
		return fmt.Errorf("read what the kernel has: %w", err)
	}
	for _, change := range plan.Away(record.Claims(t.Record.Cards()), kernel) {
		err = errors.Join(err, t.Kernel.Apply(change))
	}
	return err
}

// Release takes away what cards give up, in the kernel and then in the record. A card without its link is only forgotten. It
// returns what failed.
func (t *Transactor) Release(ctx context.Context, releases []plan.Release) Failures {
	g := goal{names: map[string]string{}}
	byMAC := map[string]plan.Release{}
	claims := record.Claims(t.Record.Cards())
	for _, release := range releases {
		byMAC[release.MAC] = release
		g.names[release.MAC] = claims[release.MAC].Name
	}
	g.left = func(kernel plan.Kernel, claims plan.Claims) remainder {
		left := remainder{steps: map[string][]step{}, blocked: Failures{}}
		for _, release := range releases {
			key, released := plan.Key{MAC: release.MAC, VLAN: wholeCard}, plan.Releases(release, claims, kernel)
			if released.Obstacle != plan.None {
				left.blocked[key] = blocked(released.Obstacle, released.Message)
			}
			for _, change := range released.Changes {
				left.steps[release.MAC] = append(left.steps[release.MAC], step{key, change})
			}
		}
		return left
	}
	g.claim = func(string, record.Was) error { return nil }
	g.proved = func(mac string) error { return t.Record.Release(mac, byMAC[mac].VLANs, byMAC[mac].Whole) }
	failures := t.transact(ctx, g)
	for mac, release := range byMAC {
		if _, failed := failures.Of(plan.Key{MAC: mac}); failed {
			continue
		}
		// Of a card that had nothing left to give up, too.
		if err := t.Record.Release(mac, release.VLANs, release.Whole); err != nil {
			failures[plan.Key{MAC: mac, VLAN: wholeCard}] = Failure{Kind: Persist, Err: err}
		}
	}
	return failures
}
