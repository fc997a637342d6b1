package plan

import (
	"cmp"
	"slices"
)

// giveNames names the decisions without an obstacle: a claim stays; a link that has one of our names, and nobody a claim
// to it, keeps it; the others take, in the order of their MACs, the lowest that is neither claimed nor borne by any
// link. Where none is left it refuses the item and returns false.
func (d *decider) giveNames() bool {
	taken := map[string]bool{}
	for _, name := range d.claims {
		taken[name] = true
	}
	var unnamed []*Decision
	for i := range d.decisions {
		decision := &d.decisions[i]
		if decision.Obstacle != None {
			continue
		}
		if _, claimed := d.claims[decision.Item.Key.MAC]; claimed {
			continue
		}
		decision.Name = ""
		if name := d.linkName(decision.Link); !taken[name] {
			if _, ok := Number(name); ok {
				decision.Name = name
				continue
			}
		}
		unnamed = append(unnamed, decision)
	}
	for _, link := range d.kernel.Links {
		taken[link.Name] = true
	}
	slices.SortFunc(unnamed, func(a, b *Decision) int { return cmp.Compare(a.Item.Key.MAC, b.Item.Key.MAC) })
	for _, decision := range unnamed {
		for n := 0; n < Interfaces && decision.Name == ""; n++ {
			if name := nameOf(n); !taken[name] {
				decision.Name = name
				taken[name] = true
			}
		}
		if decision.Name == "" {
			d.refusef(decision, NoFreeName, "all of multinic0 to multinic9 are taken: delete the row of a NIC that is no longer needed")
			return false
		}
	}
	return true
}

// renames gives a decision's link its name. If another link bears the name, it is one of ours that gets its own in this
// plan as well, and steps aside until its turn.
func (d *decider) renames(decision *Decision) []Change {
	if d.names[decision.Link] == decision.Name {
		return nil
	}
	var changes []Change
	for _, link := range d.kernel.Links {
		if d.names[link.Index] == decision.Name {
			changes = append(changes, d.rename(link.Index, aside(link.Index)))
		}
	}
	return append(changes, d.rename(decision.Link, decision.Name))
}

func (d *decider) rename(link int, to string) Change {
	change := Rename{Link: link, From: d.names[link], To: to}
	d.names[link] = to
	return change
}
