package reconcile

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"multinic.dev/dispatcher/internal/inventory"
	"multinic.dev/dispatcher/internal/row"
)

// NoNode is the name under which operators see the rows that belong to no node. An executor may have no such name.
const NoNode = "(no node)"

// group is all rows of one name, and whose work they are.
type group struct {
	name string
	rows []row.Row
	// owner is the node that has them; of an ambiguous group, the one under whose name they are shown.
	owner *node
	// candidates are the nodes that the name fits, where it fits more than one.
	candidates []*node
}

// names say which rows are which node's: names are the same exactly, or without case, or without one of the suffixes on either
// side, in this order. What fits more than one node on the first of these levels on which it fits any is nobody's.
type names struct {
	suffixes []string
	groups   map[string]*group
	// alike are the nodes that have had a session, and the groups, by their names without case and suffix.
	nodesAlike  map[string]map[*node]bool
	groupsAlike map[string]map[*group]bool
}

func newNames(suffixes []string) names {
	folded := make([]string, 0, len(suffixes))
	for _, suffix := range suffixes {
		folded = append(folded, fold(suffix))
	}

	return names{
		suffixes: folded, groups: make(map[string]*group), nodesAlike: make(map[string]map[*node]bool), groupsAlike: make(map[string]map[*group]bool),
	}
}

// fold is a name without case, as Unicode has it letter by letter.
func fold(name string) string { return strings.ToLower(name) }

// bare is a name without case, and without the first of the suffixes that it has.
func (n *names) bare(name string) string {
	name = fold(name)
	for _, suffix := range n.suffixes {
		if base, has := strings.CutSuffix(name, suffix); has && base != "" {
			return base
		}
	}

	return name
}

// fits are the nodes that a name fits, on the first level on which it fits any.
func (n *names) fits(name string) []*node {
	var exact, folded, bare []*node
	for known := range n.nodesAlike[n.bare(name)] {
		switch {
		case known.name == name:
			exact = append(exact, known)
		case fold(known.name) == fold(name):
			folded = append(folded, known)
		}
		bare = append(bare, known)
	}
	for _, level := range [][]*node{exact, folded, bare} {
		if len(level) > 0 {
			slices.SortFunc(level, func(a, b *node) int { return cmp.Compare(a.name, b.name) })

			return level
		}
	}

	return nil
}

// ownerOf is the node that has the rows of a name; nil: nobody has.
func (r *Reconciler) ownerOf(name string) *node {
	if g := r.names.groups[name]; g != nil {
		return g.owner
	}

	return nil
}

// setGroup takes over the rows of a name, and returns the nodes that this concerns, each with its rows set.
func (r *Reconciler) setGroup(name string, rows []row.Row) []*node {
	g := r.names.groups[name]
	if g == nil {
		if len(rows) == 0 {
			return nil
		}
		g = &group{name: name}
		r.names.groups[name] = g
		put(r.names.groupsAlike, r.names.bare(name), g)
	}
	if name != row.NoNode {
		r.fleet.Rows += len(rows) - len(g.rows)
	}
	g.rows = rows
	touched := r.assign(g)
	if len(rows) == 0 {
		touched = append(touched, r.detach(g)...)
		delete(r.names.groups, name)
		drop(r.names.groupsAlike, r.names.bare(name), g)
	}

	return r.refresh(touched)
}

// assign finds out whose the rows of a group are, and returns the nodes that this concerns.
func (r *Reconciler) assign(g *group) []*node {
	fits := r.names.fits(g.name)
	name := g.name
	if name == row.NoNode {
		name = NoNode
	}
	owner := r.nodes[name]
	ambiguous := len(fits) > 1
	switch {
	case len(fits) == 1:
		owner = fits[0]
	case owner == nil:
		owner = r.of(name)
	}
	touched := []*node{owner}
	if g.owner != owner || ambiguous != (len(g.candidates) > 0) {
		touched = append(touched, r.detach(g)...)
	}
	touched = append(touched, g.candidates...)
	g.owner, g.candidates = owner, nil
	if !ambiguous {
		owner.groups[g.name] = g

		return touched
	}
	owner.ambiguous, g.candidates = g, fits

	return append(touched, fits...)
}

// detach takes a group away from whoever has it.
func (r *Reconciler) detach(g *group) []*node {
	if g.owner == nil {
		return nil
	}
	touched := append([]*node{g.owner}, g.candidates...)
	delete(g.owner.groups, g.name)
	if g.owner.ambiguous == g {
		g.owner.ambiguous = nil
	}
	g.owner, g.candidates = nil, nil

	return touched
}

// refresh sets the rows of nodes anew, each once, and returns them.
func (r *Reconciler) refresh(nodes []*node) []*node {
	once := make(map[*node]bool, len(nodes))
	for _, n := range nodes {
		once[n] = true
	}
	for n := range once {
		if n.ambiguous != nil {
			var names []string
			for _, candidate := range n.ambiguous.candidates {
				names = append(names, candidate.name)
			}
			n.SetAmbiguous(n.ambiguous.rows,
				fmt.Sprintf("attached_node_name %.64q fits the nodes %.64q: write the name of the one that is meant", n.ambiguous.name, names))
		} else {
			var rows []row.Row
			for _, g := range n.groups {
				rows = append(rows, g.rows...)
			}
			slices.SortFunc(rows, func(a, b row.Row) int { return cmp.Compare(a.ID, b.ID) })
			if n.name == NoNode || strings.TrimSpace(n.name) == "" {
				n.SetNameless(rows)
			} else {
				n.SetRows(rows)
			}
		}
		r.reserve(n)
		r.speak(n)
	}

	return slices.Collect(maps.Keys(once))
}

// reserve has a node keep what rows may ask for that fit it among others.
func (r *Reconciler) reserve(n *node) {
	var reserved map[inventory.Key]bool
	vague := false
	for g := range r.names.groupsAlike[r.names.bare(n.name)] {
		if !slices.Contains(g.candidates, n) {
			continue
		}
		keys, isVague := inventory.Keys(g.rows)
		vague = vague || isVague
		if reserved == nil {
			reserved = keys
		} else {
			maps.Copy(reserved, keys)
		}
	}
	n.Reserve(reserved, vague)
}

// know takes note that a node has a session, from which on rows can be its by a name that is only alike, and returns the nodes that
// this concerns.
func (r *Reconciler) know(n *node) []*node {
	if n.isKnown {
		return nil
	}
	n.isKnown = true
	put(r.names.nodesAlike, r.names.bare(n.name), n)

	return r.reassign(n)
}

// unknow takes note that a node is forgotten, and returns the nodes that this concerns.
func (r *Reconciler) unknow(n *node) []*node {
	r.claims.set(n, nil)
	r.hush(n)
	for key, other := range n.strays {
		other.Displace(key, "")
	}
	if !n.isKnown {
		return nil
	}
	drop(r.names.nodesAlike, r.names.bare(n.name), n)

	return slices.DeleteFunc(r.reassign(n), func(one *node) bool { return one == n })
}

// reassign finds out anew whose the rows are whose names are like a node's.
func (r *Reconciler) reassign(n *node) []*node {
	var touched []*node
	for g := range r.names.groupsAlike[r.names.bare(n.name)] {
		touched = append(touched, r.assign(g)...)
	}

	return r.refresh(touched)
}

func put[K, T comparable](sets map[K]map[T]bool, key K, one T) {
	if sets[key] == nil {
		sets[key] = make(map[T]bool)
	}
	sets[key][one] = true
}

func drop[K, T comparable](sets map[K]map[T]bool, key K, one T) {
	delete(sets[key], one)
	if len(sets[key]) == 0 {
		delete(sets, key)
	}
}
