package link_test

import (
	"slices"
	"strings"
	"testing"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/testbed/monitor"
	"multinic.dev/testbed/node"
	"multinic.dev/testbed/oracle"
)

// TestWhatIsRefusedIsNotTouched has a good row beside each bad one, so that it is known that rows are carried out at all.
func TestWhatIsRefusedIsNotTouched(t *testing.T) {
	good := oracle.Row{MAC: mac1, Address: "203.0.113.10", Mask: "24", Gateway: "203.0.113.1"}
	for _, test := range []struct {
		name     string
		prepare  string
		row      oracle.Row
		obstacle plan.Obstacle
		message  string
	}{
		{"an address", "address add 192.0.2.9/24 dev eth1 noprefixroute", oracle.Row{MAC: mac0, Address: "192.0.2.10", Mask: "24"}, plan.LinkInUse,
			"eth1 (02:00:00:00:00:01) is in use by something else: it has the address 192.0.2.9/24; free the NIC first, or delete its row"},
		{"an address of IPv6", "address add 2001:db8::9/64 dev eth1", oracle.Row{MAC: mac0}, plan.LinkInUse,
			"eth1 (02:00:00:00:00:01) is in use by something else: it has the address 2001:db8::9/64; free the NIC first, or delete its row"},
		{"a peer's address", "address add 192.0.2.9 peer 198.51.100.9/30 dev eth1", oracle.Row{MAC: mac0}, plan.LinkInUse,
			"eth1 (02:00:00:00:00:01) is in use by something else: it has the address 192.0.2.9 peer 198.51.100.9/30; free the NIC first, or delete its row"},
		{"a route", "link set eth1 up;route add 198.51.100.0/24 dev eth1 table 77", oracle.Row{MAC: mac0}, plan.LinkInUse,
			"eth1 (02:00:00:00:00:01) is in use by something else: it has the route 198.51.100.0/24 table 77; free the NIC first, or delete its row"},
		{"a part of a route", "link set eth1 up;route add 198.51.100.0/24 nexthop dev eth0 nexthop dev eth1", oracle.Row{MAC: mac0}, plan.LinkInUse,
			"eth1 (02:00:00:00:00:01) is in use by something else: it has the route 198.51.100.0/24; free the NIC first, or delete its row"},
		{"a master", "link add br0 type bridge;link set eth1 master br0", oracle.Row{MAC: mac0}, plan.LinkInUse,
			"eth1 (02:00:00:00:00:01) is in use by something else: it has the master br0; free the NIC first, or delete its row"},
		{"an upper device", "link add link eth1 name upper0 type macvlan mode bridge", oracle.Row{MAC: mac0}, plan.LinkInUse,
			"eth1 (02:00:00:00:00:01) is in use by something else: it has the upper device upper0; free the NIC first, or delete its row"},
		{"a stacked device alone", "link add link eth1 name upper0 address 02:00:00:00:00:99 type macvlan mode bridge", oracle.Row{MAC: "02:00:00:00:00:99"}, plan.LinkNotFound,
			"no NIC of this node has the MAC address 02:00:00:00:00:99: attach it, or correct the MAC address"},
		{"two links", "link add eth3 address 02:00:00:00:00:01 type veth peer name other", oracle.Row{MAC: mac0}, plan.LinkAmbiguous,
			"eth1 and eth3 all have the MAC address 02:00:00:00:00:01: give each NIC its own"},
		{"no link", "link show", oracle.Row{MAC: mac2}, plan.LinkNotFound,
			"no NIC of this node has the MAC address 02:00:00:00:00:03: attach it, or correct the MAC address"},
		{"the node's address", "link show", oracle.Row{MAC: mac0, Address: "192.0.2.5", Mask: "24"}, plan.SubnetConflict,
			"192.0.2.5 is an address of eth0, which is not multinic's: choose another"},
		{"a subnet around the node's", "link show", oracle.Row{MAC: mac0, Address: "192.0.3.5", Mask: "16"}, plan.SubnetConflict,
			"192.0.0.0/16 contains 192.0.2.5, an address of eth0, without being its subnet (192.0.2.0/24): correct the address or the subnet mask"},
		{"a subnet around the gateway", "link show", oracle.Row{MAC: mac0, Address: "192.0.2.2", Mask: "30"}, plan.SubnetConflict,
			"192.0.2.0/30 contains 192.0.2.1, the node's own default gateway, without being its subnet: correct the address or the subnet mask"},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := node.New(t, "node")
			w := node.NewWire(t, "wire")
			n.Underlay("eth0", "02:00:00:00:00:10", "192.0.2.5/24", "192.0.2.1", 100, w)
			n.PlugIn("eth1", mac0, w)
			n.PlugIn("eth2", mac1, w)
			for command := range strings.SplitSeq(test.prepare, ";") {
				n.IP(strings.Fields(command)...)
			}
			m := monitor.Start(t, n)
			for _, link := range []string{"eth0", "eth1", "eth2"} {
				n.IP("link", "set", link, "alias", "known to the monitor")
			}
			m.Mark(t)
			decisions, _ := newExecutor(t, n).apply(itemsOf([]oracle.Row{test.row, good}))
			if got := decisions[0]; got.Obstacle != test.obstacle || got.Message != test.message || got.Name != "" {
				t.Errorf("obstacle %d, name %q, message\n%s\nwant %d\n%s", got.Obstacle, got.Name, got.Message, test.obstacle, test.message)
			}
			judge(t, n, []oracle.Row{test.row, good}, oracle.Expect{Without: []string{test.row.MAC}})
			events := m.Mark(t)
			if !slices.ContainsFunc(events, func(e monitor.Event) bool { return e.Link == "multinic0" }) {
				t.Errorf("the monitor has heard nothing of the good row: %v", events)
			}
			for _, link := range []string{"eth0", "eth1", "eth3", "upper0", "br0"} {
				// A link that is up gives itself a link-local address when it has probed for it, on a busy machine late.
				touched := slices.DeleteFunc(on(events, link), func(e monitor.Event) bool { return strings.Contains(e.String(), "fe80::") })
				if len(touched) != 0 {
					t.Errorf("events on %s: %v", link, touched)
				}
			}
		})
	}
}

func TestAMasterTakesAClaimedNICAway(t *testing.T) {
	n := node.New(t, "node")
	n.PlugIn("eth1", mac0, nil)
	e := newExecutor(t, n)
	row := oracle.Row{MAC: mac0, Address: "192.0.2.10", Mask: "24"}
	if decisions, _ := e.apply(itemsOf([]oracle.Row{row})); decisions[0].Obstacle != plan.None {
		t.Fatal(decisions[0].Message)
	}
	n.IP("link", "add", "br0", "type", "bridge")
	n.IP("link", "set", "multinic0", "master", "br0")
	m := monitor.Start(t, n)
	row.Address = "192.0.2.11"
	decisions, _ := e.apply(itemsOf([]oracle.Row{row}))
	if got := decisions[0]; got.Obstacle != plan.LinkInUse || !strings.Contains(got.Message, "the master br0") || got.Name != "multinic0" {
		t.Errorf("obstacle %d, name %q, message %s", got.Obstacle, got.Name, got.Message)
	}
	if events := m.Mark(t); len(events) != 0 {
		t.Errorf("events: %v", events)
	}
}
