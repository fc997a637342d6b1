// Package snapshot writes down the whole network state of a node as text, so that a test can prove that something left
// no trace of itself.
//
// It reads with `ip` and from /proc/sys, as a person would, and knows nothing of multinic: what any program changed,
// and did not change back, is a difference.
package snapshot

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Snapshot is the state of a node at one moment: its links, addresses, routes, rules, permanent neighbours and
// settings, of IPv4 and IPv6. Left out is what passes of itself: lifetimes, whether there is a carrier, counters,
// learnt neighbours, and what the kernel gives a link for being up (its own link-local address, with its routes).
type Snapshot struct {
	// lines are sorted.
	lines []line
}

// line says one thing.
type line struct {
	text string
	// links are the names of those that it is about. None: it is about the node, as most rules are.
	links []string
}

// String is the state, one thing a line, in an order that depends on nothing but the state.
func (s Snapshot) String() string {
	var text strings.Builder
	for _, l := range s.lines {
		text.WriteString(l.text + "\n")
	}
	return text.String()
}

// Only is what concerns links whose names match any of the patterns, which are those of path.Match. What concerns no
// link at all is not in it.
func (s Snapshot) Only(patterns ...string) Snapshot {
	return s.filtered(func(l line) bool { return l.concerns(patterns) })
}

// Without is all but what concerns links whose names match any of the patterns, which are those of path.Match.
func (s Snapshot) Without(patterns ...string) Snapshot {
	return s.filtered(func(l line) bool { return !l.concerns(patterns) })
}

func (s Snapshot) filtered(keep func(line) bool) Snapshot {
	var kept Snapshot
	for _, l := range s.lines {
		if keep(l) {
			kept.lines = append(kept.lines, l)
		}
	}
	return kept
}

func (l line) concerns(patterns []string) bool {
	return slices.ContainsFunc(l.links, func(link string) bool {
		return slices.ContainsFunc(patterns, func(pattern string) bool {
			matches, err := path.Match(pattern, link)
			if err != nil {
				panic(fmt.Sprintf("the pattern %q for names of links: %v", pattern, err))
			}
			return matches
		})
	})
}

// Differences words what is in only one of two snapshots, a line each: "gone: …" was there before, "new: …" is there
// after. It is empty when they are the same. What concerns links whose names match a pattern of ignore is passed over.
func Differences(before, after Snapshot, ignore ...string) []string {
	count := map[string]int{}
	for _, l := range before.Without(ignore...).lines {
		count[l.text]++
	}
	for _, l := range after.Without(ignore...).lines {
		count[l.text]--
	}
	var differences []string
	for text, n := range count {
		for ; n > 0; n-- {
			differences = append(differences, "gone: "+text)
		}
		for ; n < 0; n++ {
			differences = append(differences, "new: "+text)
		}
	}
	slices.Sort(differences)
	return differences
}
