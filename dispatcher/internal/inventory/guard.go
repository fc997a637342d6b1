package inventory

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// The guard's measure: more than a share of the fleet, and more than guardFew, within guardWindow.
const (
	guardFew    = 10
	guardWindow = time.Minute
)

// interfaceOf names an interface of the fleet.
type interfaceOf struct {
	node string
	key  Key
}

// Guard stands over what disturbs working interfaces. Once too much of the fleet would be removed or changed at once, it holds
// everything, until somebody lets that through, or it is wanted no more: a table that is empty, or the wrong one, is never
// a reason to do anything. A node of which alone too much would be changed is held alone: what one node says of itself must not
// hold up the others, for which it counts as no more than guardFew interfaces. Not safe for concurrent use.
type Guard struct {
	share float64

	// wanted are the disturbances that were not let through yet, by node.
	wanted map[string][]Disturbance
	// counted are the interfaces that are wanted or were let through within the window, and wanting is how many are wanted. OfNode is
	// how many are counted of each node, crowded are the nodes with more than guardFew, and counting is the sum, of each node
	// guardFew at most.
	counted  map[interfaceOf]count
	wanting  int
	ofNode   map[string]int
	crowded  map[string]bool
	counting int
	// lately are those that were let through, the first first.
	lately []passing

	// reason is why it holds everything; empty: it does not. Alone is why it holds nodes, by their names, and since is from when on it
	// holds anything.
	reason string
	alone  map[string]string
	since  time.Time
	// issued are the sets of which somebody was told the token, the newest last.
	issued []issue
}

// count is why an interface is counted.
type count struct {
	wanted bool
	passed time.Time
}

// passing is an interface that was let through.
type passing struct {
	interfaceOf

	at time.Time
}

// issue is a set of which somebody was told the token.
type issue struct {
	token string
	set   map[interfaceOf]string // the contents
	at    time.Time
}

// A token is good for its set for as long as issuedFor, and while no more than mostIssued others were told since.
const (
	issuedFor  = time.Hour
	mostIssued = 4
)

// NewGuard returns a guard that lets so large a share of the fleet be disturbed within a minute; 1 or more: any number.
func NewGuard(share float64) *Guard {
	return &Guard{
		share: share, wanted: map[string][]Disturbance{}, counted: map[interfaceOf]count{}, ofNode: map[string]int{}, crowded: map[string]bool{},
		alone: map[string]string{},
	}
}

// Want replaces what would disturb a node and was not let through yet; the guard keeps the slice.
func (g *Guard) Want(node string, disturbances []Disturbance) {
	for _, one := range g.wanted[node] {
		g.wanting--
		g.count(interfaceOf{node, one.Key}, func(c *count) { c.wanted = false })
	}
	delete(g.wanted, node)
	for _, one := range disturbances {
		g.wanting++
		g.count(interfaceOf{node, one.Key}, func(c *count) { c.wanted = true })
	}
	if len(disturbances) > 0 {
		g.wanted[node] = disturbances
	}
}

// Wanted is what would disturb a node and was not let through yet.
func (g *Guard) Wanted(node string) []Disturbance { return g.wanted[node] }

func (g *Guard) count(one interfaceOf, change func(*count)) {
	c, before := g.counted[one]
	change(&c)
	after := c.wanted || !c.passed.IsZero()
	if after {
		g.counted[one] = c
	} else {
		delete(g.counted, one)
	}
	if before == after {
		return
	}
	g.counting -= min(g.ofNode[one.node], guardFew)
	if after {
		g.ofNode[one.node]++
	} else {
		g.ofNode[one.node]--
	}
	g.counting += min(g.ofNode[one.node], guardFew)
	if g.ofNode[one.node] == 0 {
		delete(g.ofNode, one.node)
	}
	if g.ofNode[one.node] > guardFew {
		g.crowded[one.node] = true
	} else {
		delete(g.crowded, one.node)
	}
}

// Passed takes note that disturbances of a node were let through.
func (g *Guard) Passed(node string, disturbances []Disturbance, now time.Time) {
	for _, one := range disturbances {
		is := interfaceOf{node, one.Key}
		g.count(is, func(c *count) { c.passed = now })
		g.lately = append(g.lately, passing{is, now})
	}
}

// Fleet is what the guard measures by.
type Fleet struct {
	// Interfaces is how many the fleet has, and Counted the same with no more than guardFew of each node.
	Interfaces, Counted int
	// Rows is how many rows the table has.
	Rows int
}

// Count counts a node for so many interfaces, in the place of those that it was counted for before.
func (f *Fleet) Count(before, interfaces int) {
	f.Interfaces += interfaces - before
	f.Counted += min(interfaces, guardFew) - min(before, guardFew)
}

// Look judges what is wanted now, and says whether it holds other things than before.
func (g *Guard) Look(now time.Time, fleet Fleet) (changed bool) {
	for len(g.lately) > 0 && now.Sub(g.lately[0].at) > guardWindow {
		first := g.lately[0]
		g.lately = g.lately[1:]
		g.count(first.interfaceOf, func(c *count) {
			if c.passed.Equal(first.at) {
				c.passed = time.Time{}
			}
		})
	}
	changed = g.lookAtNodes(fleet)
	before := g.reason
	counting := g.counting
	for node := range g.alone {
		counting -= min(g.ofNode[node], guardFew)
	}
	switch {
	case g.wanting == 0:
		g.reason = ""
	case g.reason != "":
	case fleet.Rows == 0 && fleet.Interfaces > 1:
		g.reason = fmt.Sprintf("the table has become empty while nodes have %d interfaces", fleet.Interfaces)
	case g.isTooMuch(counting, fleet.Counted):
		g.reason = fmt.Sprintf("%d of the fleet's %d interfaces would be removed or changed within a minute, which is more than %.0f %%",
			counting, fleet.Counted, g.share*100)
	}
	switch {
	case !g.holds():
		g.since = time.Time{}
	case g.since.IsZero():
		g.since = now
	}

	return changed || before != g.reason
}

// lookAtNodes judges each node by itself.
func (g *Guard) lookAtNodes(fleet Fleet) (changed bool) {
	for node := range g.alone {
		if len(g.wanted[node]) == 0 {
			delete(g.alone, node)
			changed = true
		}
	}
	for node := range g.crowded {
		if _, held := g.alone[node]; held || len(g.wanted[node]) == 0 || !g.isTooMuch(g.ofNode[node], fleet.Interfaces) {
			continue
		}
		g.alone[node] = fmt.Sprintf("%d interfaces of the node %q would be removed or changed within a minute, which is more than %.0f %% of the fleet's %d",
			g.ofNode[node], node, g.share*100, fleet.Interfaces)
		changed = true
	}

	return changed
}

func (g *Guard) isTooMuch(counting, size int) bool {
	return counting > guardFew && float64(counting) > g.share*float64(size) && g.share < 1
}

func (g *Guard) holds() bool { return g.reason != "" || len(g.alone) > 0 }

// Reason is why what is wanted of a node is held; empty: it is not.
func (g *Guard) Reason(node string) string {
	if g.reason != "" {
		return g.reason
	}

	return g.alone[node]
}

// mostReasons is how many nodes that are held alone are named.
const mostReasons = 3

// Holding says why anything is held, and since when; empty: nothing is.
func (g *Guard) Holding() (reason string, since time.Time) {
	if g.reason != "" || len(g.alone) == 0 {
		return g.reason, g.since
	}
	var reasons []string
	for _, node := range slices.Sorted(maps.Keys(g.alone)) {
		reasons = append(reasons, g.alone[node])
	}
	if more := len(reasons) - mostReasons; more > 0 {
		reasons = append(reasons[:mostReasons], fmt.Sprintf("and so of %d more nodes", more))
	}

	return strings.Join(reasons, "; "), g.since
}

// Held are the nodes of which something is held, in order.
func (g *Guard) Held() []string {
	if g.reason != "" {
		return slices.Sorted(maps.Keys(g.wanted))
	}

	return slices.Sorted(maps.Keys(g.alone))
}

// Total is how many disturbances are held.
func (g *Guard) Total() (total int) {
	if g.reason != "" {
		return g.wanting
	}
	for node := range g.alone {
		total += len(g.wanted[node])
	}

	return total
}

// Issue names the set that is held, for Release; empty: nothing is.
func (g *Guard) Issue(now time.Time) (token string) {
	if !g.holds() {
		return ""
	}
	sum, set := sha256.New(), map[interfaceOf]string{}
	for _, node := range g.Held() {
		for _, one := range g.wanted[node] {
			sum.Write(fmt.Appendf(nil, "%q %s %d %s\n", node, one.Key.MAC, one.Key.VLAN, one.content))
			set[interfaceOf{node, one.Key}] = one.content
		}
	}
	token = hex.EncodeToString(sum.Sum(nil)[:16])
	g.issued = slices.DeleteFunc(g.issued, func(i issue) bool { return i.token == token || now.Sub(i.at) > issuedFor })
	g.issued = append(g.issued, issue{token, set, now})
	g.issued = g.issued[max(0, len(g.issued)-mostIssued):]

	return token
}

// Release lets through what is held of the set that a token names, and returns it by node. What came to be wanted, or otherwise, since
// the set was looked at stays, and is judged anew; what was released counts no more. A token is good once.
func (g *Guard) Release(token string, now time.Time) (released map[string][]Disturbance, is bool) {
	i := slices.IndexFunc(g.issued, func(i issue) bool { return i.token == token && now.Sub(i.at) <= issuedFor })
	if i < 0 {
		return nil, false
	}
	set := g.issued[i].set
	released = map[string][]Disturbance{}
	for _, node := range g.Held() {
		var rest []Disturbance
		for _, one := range g.wanted[node] {
			if set[interfaceOf{node, one.Key}] == one.content {
				released[node] = append(released[node], one)
			} else {
				rest = append(rest, one)
			}
		}
		if len(released[node]) > 0 {
			g.Want(node, rest)
			delete(g.alone, node)
		}
	}
	if len(released) == 0 {
		return nil, false
	}
	g.issued, g.reason = nil, ""

	return released, true
}
