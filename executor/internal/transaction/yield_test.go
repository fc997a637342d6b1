package transaction_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"multinic.dev/testbed/monitor"
	"multinic.dev/testbed/oracle"
	"multinic.dev/testbed/uml"
)

// TestAnAddressThatMovesIsNeverOnTwoLinks has two cards exchange their addresses, and has that undone when all but the last rule is made.
func TestAnAddressThatMovesIsNeverOnTwoLinks(t *testing.T) {
	swap := scenarios()["swap"]
	undone := swap
	undone.refused = "rule add pref 25002 from 192.0.2.10 lookup 1835929600"
	neverOnTwo(t, map[string]scenario{"swap": swap, "undone": undone})
}

// TestAnAddressThatMovesBetweenVLANsIsNeverOnTwoLinks has two of one card exchange theirs.
func TestAnAddressThatMovesBetweenVLANsIsNeverOnTwoLinks(t *testing.T) {
	uml.Run(t, func() {
		five, six := trunks()["first trunk"].after[0], trunks()["first trunk"].after[1]
		exchangedFive, exchangedSix := six, five
		exchangedFive.VLAN, exchangedSix.VLAN = five.VLAN, six.VLAN
		neverOnTwo(t, map[string]scenario{"trunk": {before: []oracle.Row{five, six}, after: []oracle.Row{exchangedFive, exchangedSix}}})
	})
}

func neverOnTwo(t *testing.T, scenarios map[string]scenario) {
	t.Helper()
	for i, name := range slices.Sorted(maps.Keys(scenarios)) {
		sc := scenarios[name]
		t.Run(name, func(t *testing.T) {
			s := newStage(t, fmt.Sprint("node-", i))
			m := monitor.Start(t, s.node)
			places := monitor.Places{}
			s.reach(sc.before)
			places.Follow(m.Mark(t))
			was := fmt.Sprint(places)
			s.life(sc.after, -1, sc.refused)
			events := m.Mark(t)
			if twice := places.Follow(events); len(twice) > 0 {
				t.Errorf("%s were on two links: %v", twice, events)
			}
			if moved := fmt.Sprint(places) != was; moved != (sc.refused == "") {
				t.Errorf("the addresses were %s, and are %v", was, places)
			}
			if len(events) == 0 {
				t.Error("nothing was heard")
			}
		})
	}
}
