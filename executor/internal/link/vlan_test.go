package link_test

import (
	"strings"
	"testing"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/testbed/monitor"
	"multinic.dev/testbed/node"
	"multinic.dev/testbed/oracle"
	"multinic.dev/testbed/uml"
)

// TestACardThatSomebodyElsesVLANStandsOnIsRefusedAndNotTouched has a good card beside it; without the VLAN it is taken.
func TestACardThatSomebodyElsesVLANStandsOnIsRefusedAndNotTouched(t *testing.T) {
	uml.Run(t, func() {
		n := node.New(t, "node")
		n.PlugIn("eth1", mac0, nil)
		n.PlugIn("eth2", mac1, nil)
		n.IP("link", "add", "link", "eth1", "name", "storage", "type", "vlan", "id", "7")
		rows := []oracle.Row{{MAC: mac0, Address: "192.0.2.10", Mask: "24"}, {MAC: mac1, Address: "198.51.100.10", Mask: "24"}}
		e := newExecutor(t, n)
		m := monitor.Start(t, n)
		decisions, _ := e.apply(itemsOf(rows))
		if got := decisions[0]; got.Obstacle != plan.LinkInUse || !strings.Contains(got.Message, "it has the upper device storage; free the NIC first") {
			t.Errorf("obstacle %d, message %s", got.Obstacle, got.Message)
		}
		judge(t, n, rows, oracle.Expect{Without: []string{mac0}})
		events := m.Mark(t)
		if touched := append(on(events, "eth1"), on(events, "storage")...); len(touched) > 0 || len(on(events, "multinic0")) == 0 {
			t.Errorf("events: %v", events)
		}
		n.IP("link", "delete", "storage")
		if decisions, _ := e.apply(itemsOf(rows)); decisions[0].Obstacle != plan.None {
			t.Errorf("without the VLAN: %s", decisions[0].Message)
		}
	})
}
