package monitor_test

import (
	"fmt"
	"slices"
	"testing"

	"multinic.dev/testbed/monitor"
	"multinic.dev/testbed/node"
	"multinic.dev/testbed/sandbox"
)

func TestMain(m *testing.M) { sandbox.Main(m) }

func TestEachKindOfChangeIsSeenBetweenTwoMarks(t *testing.T) {
	n := node.New(t, "node")
	n.PlugIn("eth1", "02:00:00:00:00:01", nil)
	n.IP("link", "set", "eth1", "up")
	m := monitor.Start(t, n)
	n.IP("link", "set", "eth1", "mtu", "1400") // So that the monitor has learnt the link's name.
	m.Mark(t)
	for _, test := range []struct {
		name   string
		change func()
		want   monitor.Event
	}{
		{"mtu", func() { n.IP("link", "set", "eth1", "mtu", "1300") }, monitor.Event{Kind: "link new", Link: "eth1"}},
		{"address", func() { n.IP("address", "add", "192.0.2.1/24", "dev", "eth1") }, monitor.Event{Kind: "address new", Link: "eth1"}},
		{"route", func() { n.IP("route", "add", "203.0.113.0/24", "dev", "eth1", "table", "4000") }, monitor.Event{Kind: "route new", Link: "eth1"}},
		{"route gone", func() { n.IP("route", "delete", "203.0.113.0/24", "table", "4000") }, monitor.Event{Kind: "route gone", Link: "eth1"}},
		{"rule", func() { n.IP("rule", "add", "from", "192.0.2.1", "lookup", "4000", "pref", "77") }, monitor.Event{Kind: "rule new"}},
		{"rule gone", func() { n.IP("rule", "delete", "pref", "77") }, monitor.Event{Kind: "rule gone"}},
		{"setting", func() { n.Set("net/ipv4/conf/eth1/rp_filter", "2") }, monitor.Event{Kind: "setting new", Link: "eth1"}},
		{"address gone", func() { n.IP("address", "flush", "dev", "eth1") }, monitor.Event{Kind: "address gone", Link: "eth1"}},
		{"down", func() { n.IP("link", "set", "eth1", "down") }, monitor.Event{Kind: "link new", Link: "eth1"}},
		{"name", func() { n.IP("link", "set", "eth1", "name", "eth2") }, monitor.Event{Kind: "link new", Link: "eth2"}},
	} {
		if events := m.Mark(t); len(events) != 0 {
			t.Fatalf("before %s: events that nothing made: %v", test.name, events)
		}
		test.change()
		events := m.Mark(t)
		if !slices.ContainsFunc(events, func(e monitor.Event) bool { return e.Kind == test.want.Kind && e.Link == test.want.Link }) {
			t.Errorf("%s: %v is not among the events %v", test.name, test.want, events)
		}
	}
}

func TestSilenceIsSilent(t *testing.T) {
	n := node.New(t, "node")
	n.PlugIn("eth1", "02:00:00:00:00:01", nil)
	m := monitor.Start(t, n)
	for range 20 {
		if got := fmt.Sprint(m.Mark(t)); got != "[]" {
			t.Fatalf("events that nothing made: %s", got)
		}
	}
}
