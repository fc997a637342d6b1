package monitor_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"multinic.dev/testbed/debian"
	"multinic.dev/testbed/monitor"
	"multinic.dev/testbed/node"
	"multinic.dev/testbed/vm"
)

// listener is what listens in guests.
var listener string

func TestMain(m *testing.M) { vm.Main(m, monitor.Fixture(&listener)) }

func TestEachKindOfChangeIsSeenBetweenTwoMarks(t *testing.T) {
	n := node.New(t, "node")
	n.PlugIn("eth1", "02:00:00:00:00:01", nil)
	n.IP("link", "set", "eth1", "up")
	seesAll(t, monitor.Start(t, n), func(args ...string) { n.IP(args...) }, func(name, value string) { n.Set(name, value) })
}

func TestEachKindOfChangeIsSeenInAGuest(t *testing.T) {
	for _, release := range []debian.Release{debian.Bookworm, debian.Trixie} {
		t.Run(string(release), func(t *testing.T) {
			v := vm.Start(t, release, "node")
			v.PlugIn("02:00:00:00:00:01", nil).Link()
			v.MustRun("udevadm", "settle")
			// Of the link alone, whose own address would come in its own time.
			v.MustRun("sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=1")
			v.MustRun("ip", "link", "set", "eth0", "up", "name", "eth1")
			m := monitor.StartIn(t, v, listener)
			seesAll(t, m, func(args ...string) { v.MustRun("ip", args...) },
				func(name, value string) { v.MustRun("sysctl", "-qw", name+"="+value) })

			// A hundred changes, and not one of them after its mark.
			m.Mark(t)
			began := time.Now()
			for range 3 {
				v.MustRun("sh", "-ec", "for i in $(seq 100); do echo rule add from 192.0.2.$i lookup 4000 pref 77; done | ip -batch -")
				if events := m.Mark(t); len(events) != 100 {
					t.Errorf("100 rules make %d events", len(events))
				} else if at := events[99].At; at.Before(began.Add(-time.Second)) || at.After(time.Now().Add(time.Second)) {
					t.Errorf("the last rule came at %v", at)
				}
				v.MustRun("sh", "-ec", "for i in $(seq 100); do echo rule delete pref 77; done | ip -batch -")
				if events := m.Mark(t); len(events) != 100 {
					t.Errorf("100 rules that go make %d events", len(events))
				}
			}
		})
	}
}

// seesAll has each kind of change made to a node that has a link eth1, which is up.
func seesAll(t *testing.T, m *monitor.Monitor, ip func(args ...string), set func(name, value string)) {
	t.Helper()
	ip("link", "set", "eth1", "mtu", "1400") // So that the monitor has learnt the link's name.
	m.Mark(t)
	for _, test := range []struct {
		name   string
		change func()
		want   monitor.Event
	}{
		{"mtu", func() { ip("link", "set", "eth1", "mtu", "1300") }, monitor.Event{Kind: "link new", Link: "eth1"}},
		{"address", func() { ip("address", "add", "192.0.2.1/24", "dev", "eth1") }, monitor.Event{Kind: "address new", Link: "eth1"}},
		{"route", func() { ip("route", "add", "203.0.113.0/24", "dev", "eth1", "table", "4000") }, monitor.Event{Kind: "route new", Link: "eth1"}},
		{"route gone", func() { ip("route", "delete", "203.0.113.0/24", "table", "4000") }, monitor.Event{Kind: "route gone", Link: "eth1"}},
		{"rule", func() { ip("rule", "add", "from", "192.0.2.1", "lookup", "4000", "pref", "77") }, monitor.Event{Kind: "rule new"}},
		{"rule gone", func() { ip("rule", "delete", "pref", "77") }, monitor.Event{Kind: "rule gone"}},
		{"setting", func() { set("net/ipv4/conf/eth1/rp_filter", "2") }, monitor.Event{Kind: "setting new", Link: "eth1"}},
		{"address gone", func() { ip("address", "flush", "dev", "eth1") }, monitor.Event{Kind: "address gone", Link: "eth1"}},
		{"down", func() { ip("link", "set", "eth1", "down") }, monitor.Event{Kind: "link new", Link: "eth1"}},
		{"name", func() { ip("link", "set", "eth1", "name", "eth2") }, monitor.Event{Kind: "link new", Link: "eth2"}},
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
