package plan

import (
	"maps"
	"slices"
)

// giveNames names the decisions without an obstacle: a claim stays; a card that has one of our names, and nobody a claim
// to it, keeps it; the others take, in the order of their MACs, the lowest that is neither claimed nor borne by any
// link, and if there is none, the lowest of a card that is absent and that no item asks for. Where none is left it refuses
// the card's items and returns false.
func (d *decider) giveNames() bool {
	taken := map[string]bool{}
	for _, claim := range d.claims {
		taken[claim.Name] = true
	}
	for _, name := range unadoptable(d.kernel) {
		taken[name] = true
	}
	unnamed := map[string]bool{} // by MAC
	for i := range d.decisions {
		decision := &d.decisions[i]
		if decision.Obstacle != None {
			continue
		}
		if _, claimed := d.claims[decision.Item.Key.MAC]; claimed {
			continue
		}
		decision.setName("")
		if name := d.linkName(decision.Card); !taken[name] {
			if _, ok := Number(name); ok {
				decision.setName(name)
				continue
			}
		}
		unnamed[decision.Item.Key.MAC] = true
	}
	for _, link := range d.kernel.Links {
		taken[link.Name] = true
	}
	free := d.freeNames(taken)
	for _, mac := range slices.Sorted(maps.Keys(unnamed)) {
		if len(free) == 0 {
			d.refuseNameless(mac)
			return false
		}
		for i := range d.decisions {
			if decision := &d.decisions[i]; decision.Item.Key.MAC == mac && decision.Obstacle == None {
				decision.setName(free[0])
			}
		}
		free = free[1:]
	}
	return true
}

// freeNames are the names that can be given, the first first.
func (d *decider) freeNames(taken map[string]bool) []string {
	var free, abandoned []string
	for n := range Interfaces {
		if name := nameOf(n); !taken[name] {
			free = append(free, name)
		} else if d.isAbandoned(name) {
			abandoned = append(abandoned, name)
		}
	}
	return append(free, abandoned...)
}

// isAbandoned says whether a name is claimed by a card that is absent and that no item asks for, and borne by no link.
func (d *decider) isAbandoned(name string) bool {
	for mac, claim := range d.claims {
		if claim.Name == name {
			return !d.isForeign(name) && len(d.candidates(mac)) == 0 &&
				!slices.ContainsFunc(d.decisions, func(decision Decision) bool { return decision.Item.Key.MAC == mac }) &&
				!slices.ContainsFunc(d.kernel.Links, func(link Link) bool { return link.Name == name })
		}
	}
	return false
}

// refuseNameless refuses all items of a card for which no name is left.
func (d *decider) refuseNameless(mac string) {
	for i := range d.decisions {
		if decision := &d.decisions[i]; decision.Item.Key.MAC == mac && decision.Obstacle == None {
			d.refusef(decision, NoFreeName, "all of multinic0 to multinic9 are taken: delete the row of a NIC that is no longer needed%s", d.foreignFiles())
		}
	}
}

// renames gives a link its name. If another link bears the name, it is one of ours that gets its own in this plan as well,
// and steps aside until its turn.
func (d *decider) renames(link int, name string) []Change {
	if d.names[link] == name {
		return nil
	}
	var changes []Change
	for _, other := range d.kernel.Links {
		if d.names[other.Index] == name {
			changes = append(changes, d.rename(other.Index, aside(other.Index)))
		}
	}
	return append(changes, d.rename(link, name))
}

func (d *decider) rename(link int, to string) Change {
	change := Rename{Link: link, From: d.names[link], To: to}
	d.names[link] = to
	return change
}
