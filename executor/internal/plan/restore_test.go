package plan_test

import (
	"maps"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"multinic.dev/executor/internal/plan"
)

// readWhole is what a kernel has, with the settings of every link.
func (m *model) readWhole() plan.Kernel {
	kernel := m.read()
	for i := range kernel.Links {
		kernel.Links[i].Settings = maps.Clone(m.settings[kernel.Links[i].Index])
	}
	return kernel
}

// TestACardIsGivenBackWhole has another card and what is foreign beside it, to which nothing may happen.
func TestACardIsGivenBackWhole(t *testing.T) {
	m := node("eth1", "eth2")
	m.link(3).MTU, m.settings[3]["ipv4/conf/%s/rp_filter"] = 9000, "1"
	before := m.readWhole()
	original := plan.Original{Name: "eth1", MTU: 9000, Settings: maps.Clone(m.settings[3])}
	items := []plan.Item{item(mac0, "192.0.2.10/24", "192.0.2.1", 1400), tagged(7, "198.51.100.10/24", "198.51.100.1"), item(mac1, "192.0.2.11/24", "", 0)}
	claims := plan.Claims{mac0: {Name: "multinic0", VLANs: []int{0, 7}}, mac1: nic("multinic1")}
	made(t, m, plan.Decide(items, claims, m.read()))
	made(t, m, plan.Decide(items, claims, m.read()))
	golden(t, plan.Decide(items, claims, m.read()), "")
	other := plan.FormerOf(mac1, nil, m.readWhole())

	release := plan.Release{MAC: mac0, VLANs: []int{7, 0}, Whole: true, Original: &original}
	for plans := 0; len(plan.Releases(release, claims, m.readWhole()).Changes) > 0; plans++ {
		if plans == mostPlans {
			t.Fatal("there is no end of changes")
		}
		made(t, m, plan.Plan{Shared: plan.Releases(release, claims, m.readWhole()).Changes})
	}
	if got := plan.FormerOf(mac1, nil, m.readWhole()); !reflect.DeepEqual(normal(got), normal(other)) {
		t.Errorf("the other card was\n%+v\nand is\n%+v", normal(other), normal(got))
	}
	made(t, m, plan.Plan{Shared: plan.Releases(plan.Release{MAC: mac1, VLANs: []int{0}, Whole: true, Original: &plan.Original{Name: "eth2", MTU: 1500}}, claims, m.readWhole()).Changes})
	made(t, m, plan.Plan{Shared: plan.Shared(nil, m.read())})
	after := m.readWhole()
	after.Links[3].Settings = before.Links[3].Settings // eth2's were not known.
	if !reflect.DeepEqual(normal(plan.Former{Links: after.Links, Routes: after.Routes, Rules: after.Rules}),
		normal(plan.Former{Links: before.Links, Routes: before.Routes, Rules: before.Rules})) {
		t.Errorf("the kernel was\n%+v\nand is\n%+v", before, after)
	}
}

func TestAVLANGoesAndItsCardStays(t *testing.T) {
	m := node("eth1")
	items := []plan.Item{item(mac0, "192.0.2.10/24", "", 0), tagged(7, "198.51.100.10/24", "")}
	claims := plan.Claims{mac0: {Name: "multinic0", VLANs: []int{0, 7}}}
	made(t, m, plan.Decide(items, claims, m.read()))
	made(t, m, plan.Decide(items, claims, m.read()))
	made(t, m, plan.Plan{Shared: plan.Releases(plan.Release{MAC: mac0, VLANs: []int{7}}, claims, m.readWhole()).Changes})
	claims = plan.Claims{mac0: nic("multinic0")}
	golden(t, plan.Decide(items[:1], claims, m.read()), "")
	if len(m.kernel.Links) != 3 {
		t.Errorf("the links are %+v", m.kernel.Links)
	}
}

// TestWhateverWasDoneOfAPlanCanBeUndone stops in the middle of a plan, once for every change, and undoes one card.
func TestWhateverWasDoneOfAPlanCanBeUndone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, claims, items := world(t)
		if len(items) == 0 {
			return
		}
		keepPossible(m)
		mac := rapid.SampledFrom(items).Draw(t, "undone").Key.MAC
		// Others would get in the way of names and addresses; transactions undo those together.
		items = slices.DeleteFunc(items, func(item plan.Item) bool { return item.Key.MAC != mac })
		p := plan.Decide(items, claims, m.readWhole())
		name := p.Decisions[0].NIC
		former := plan.FormerOf(mac, []string{name}, m.readWhole())
		before := m.readWhole()
		for range 2 {
			for _, decision := range p.Decisions {
				if decision.Obstacle == plan.None {
					claim(claims, decision)
				}
			}
			changes := changesOf(plan.Plan{Decisions: p.Decisions})
			for _, change := range changes[:rapid.IntRange(0, len(changes)).Draw(t, "made")] {
				if err := m.apply(change); err != nil {
					t.Fatalf("the kernel refused: %v", err)
				}
			}
			p = plan.Decide(items, claims, m.readWhole())
		}
		restore(t, m, former)
		after := m.readWhole()
		if got := plan.FormerOf(mac, []string{name}, after); !reflect.DeepEqual(normal(got), normal(former)) {
			t.Errorf("the card was\n%+v\nand is\n%+v", normal(former), normal(got))
		}
		if got, want := normal(whole(after)), normal(whole(before)); !reflect.DeepEqual(got, want) {
			t.Errorf("the kernel was\n%+v\nand is\n%+v", want, got)
		}
	})
}

// keepPossible drops the routes on cards that no kernel could have, such as one on a link that is down: nobody could put them
// back.
func keepPossible(m *model) {
	drawn := m.kernel.Routes
	m.kernel.Routes = nil
	for range 2 { // A gateway may be near only by a later one.
		for _, route := range drawn {
			isTaken := slices.ContainsFunc(m.kernel.Routes, func(r plan.Route) bool {
				return r.Table == route.Table && r.To == route.To && r.Metric == route.Metric && r.TOS == route.TOS
			})
			onCard := slices.ContainsFunc(m.kernel.Links, func(l plan.Link) bool { return l.Index == route.Link && l.Index > 2 })
			switch {
			case slices.Contains(m.kernel.Routes, route):
			case onCard && !route.Multipath:
				_ = m.addRoute(plan.AddRoute{Route: route})
			case !isTaken:
				m.kernel.Routes = append(m.kernel.Routes, route)
			}
		}
	}
}

func restore(t *rapid.T, m *model, former plan.Former) {
	changes := former.Restore(m.readWhole())
	for plans := 0; len(changes) > 0; plans++ {
		if plans == mostPlans {
			t.Fatalf("plan %d still wants changes:\n%s", plans+1, text(changes))
		}
		t.Logf("undo %d:\n%s", plans+1, text(changes))
		for _, change := range changes {
			_ = m.apply(change) // As in a kernel: what fails now may succeed in the next plan.
		}
		changes = former.Restore(m.readWhole())
	}
}

// whole is all of a kernel as if it were one card's, but for rules that are marked as multinic's, and routes in its tables: those
// that are no interface's are taken away for good.
func whole(kernel plan.Kernel) plan.Former {
	foreign := slices.DeleteFunc(slices.Clone(kernel.Rules), func(r plan.Rule) bool {
		return !r.Other && (r.Protocol == plan.Protocol || plan.IsOurTable(r.Table)) || isLikeAManagers(r)
	})
	routes := slices.DeleteFunc(slices.Clone(kernel.Routes), func(r plan.Route) bool { return plan.IsOurTable(r.Table) })
	return plan.Former{Links: kernel.Links, Routes: routes, Rules: foreign}
}

// state is a kernel, or a part of it, to compare.
type state struct {
	links  []plan.Link
	routes map[plan.Route]bool
	rules  map[plan.Rule]bool
}

// normal is a former state without what a kernel leaves to chance: the order of routes, rules and addresses, and the index of a
// link that was made anew. Routes that a kernel makes of its own accord are left out: the model makes none.
func normal(f plan.Former) state {
	is := state{routes: map[plan.Route]bool{}, rules: map[plan.Rule]bool{}}
	indices := map[int]int{}
	for _, link := range f.Links {
		index := link.Index
		if link.Kind == "vlan" {
			index = 1000 + link.Lower*10000 + link.VLAN
		}
		indices[link.Index], link.Index = index, index
		var addresses []plan.Address
		for _, address := range link.Addresses {
			if address.Prefix.Addr().Is4() || !address.LinkLocal {
				addresses = append(addresses, address)
			}
		}
		slices.SortFunc(addresses, func(a, b plan.Address) int { return a.Prefix.Compare(b.Prefix) })
		link.Addresses = addresses
		is.links = append(is.links, link)
	}
	slices.SortFunc(is.links, func(a, b plan.Link) int { return a.Index - b.Index })
	for _, route := range f.Routes {
		if index, there := indices[route.Link]; there {
			route.Link = index
		}
		// What leads elsewhere from a table of multinic's is taken away for good.
		_, onLink := indices[route.Link]
		if route.Protocol != 2 && (!plan.IsOurTable(route.Table) || onLink && !route.Multipath) {
			is.routes[route] = true
		}
	}
	for _, rule := range f.Rules {
		is.rules[rule] = true
	}
	return is
}
