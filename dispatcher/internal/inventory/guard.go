package inventory

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
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
// everything, until somebody lets exactly that through, or it is wanted no more: a table that is empty, or the wrong one, is never
// a reason to do anything. Not safe for concurrent use.
type Guard struct {
	share float64

	// wanted are the disturbances that were not let through yet, by node.
	wanted map[string][]Disturbance
	// counted are the interfaces that are wanted or were let through within the window, and wanting is how many are wanted.
	counted map[interfaceOf]count
	wanting int
	// lately are those that were let through, the first first.
	lately []passing

	// Reason is why it holds; empty: it does not. Since is from when on.
	Reason string
	Since  time.Time
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

// NewGuard returns a guard that lets so large a share of the fleet be disturbed within a minute; 1 or more: any number.
func NewGuard(share float64) *Guard {
	return &Guard{share: share, wanted: map[string][]Disturbance{}, counted: map[interfaceOf]count{}}
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

// Nodes are those that would be disturbed, in order.
func (g *Guard) Nodes() []string { return slices.Sorted(maps.Keys(g.wanted)) }

func (g *Guard) count(one interfaceOf, change func(*count)) {
	c := g.counted[one]
	change(&c)
	if !c.wanted && c.passed.IsZero() {
		delete(g.counted, one)
	} else {
		g.counted[one] = c
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

// Look judges what is wanted now, and says whether that has changed. Size is how many interfaces the fleet has, and rows how many
// rows the table has.
func (g *Guard) Look(now time.Time, size, rows int) (changed bool) {
	for len(g.lately) > 0 && now.Sub(g.lately[0].at) > guardWindow {
		first := g.lately[0]
		g.lately = g.lately[1:]
		g.count(first.interfaceOf, func(c *count) {
			if c.passed.Equal(first.at) {
				c.passed = time.Time{}
			}
		})
	}
	before := g.Reason
	switch {
	case g.wanting == 0:
		g.Reason, g.Since = "", time.Time{}
	case g.Reason != "":
	case rows == 0 && size > 1:
		g.Reason = fmt.Sprintf("the table has become empty while nodes have %d interfaces", size)
	case len(g.counted) > guardFew && float64(len(g.counted)) > g.share*float64(size) && g.share < 1:
		g.Reason = fmt.Sprintf("%d of the fleet's %d interfaces would be removed or changed within a minute, which is more than %.0f %%",
			len(g.counted), size, g.share*100)
	}
	if before == "" && g.Reason != "" {
		g.Since = now
	}

	return before != g.Reason
}

// Total is how many disturbances are wanted.
func (g *Guard) Total() int { return g.wanting }

// Token names exactly the set that is held; empty: nothing is.
func (g *Guard) Token() string {
	if g.Reason == "" {
		return ""
	}
	sum := sha256.New()
	for _, node := range g.Nodes() {
		for _, one := range g.wanted[node] {
			sum.Write(fmt.Appendf(nil, "%q %s %d %s\n", node, one.Key.MAC, one.Key.VLAN, one.content))
		}
	}

	return hex.EncodeToString(sum.Sum(nil)[:16])
}

// Release ends the hold, if the token is that of the set that is held, and returns the set by node: it is to be let through. What was
// released counts no more.
func (g *Guard) Release(token string) (released map[string][]Disturbance, is bool) {
	if g.Reason == "" || token != g.Token() {
		return nil, false
	}
	released = g.wanted
	for node := range released {
		for _, one := range released[node] {
			g.count(interfaceOf{node, one.Key}, func(c *count) { c.wanted = false })
		}
	}
	g.wanted, g.wanting = map[string][]Disturbance{}, 0
	g.Reason, g.Since = "", time.Time{}

	return released, true
}
