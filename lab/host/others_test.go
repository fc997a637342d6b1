package host_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"multinic.dev/testbed/monitor"
	"multinic.dev/testbed/oracle"
)

// cni gives the host what a CNI plugin and an operator have there: a bridge with pods, routes in several tables and of several kinds,
// rules of several kinds, and an address that was put there by hand.
func (s *stage) cni() {
	s.Helper()
	n := s.node
	n.AddPod("pod1", "10.244.0.5/32")
	n.AddPod("pod2", "10.244.0.6/32")
	n.AddBridge("cni0")
	for _, command := range []string{
		"address add 10.244.1.1/24 dev cni0", "address add 192.0.2.77/32 dev eth0",
		"route add 10.245.0.0/16 via 192.0.2.1 dev eth0 table 100 proto static", "route add blackhole 10.244.9.0/26 proto 80",
		"route add unreachable 10.246.0.0/16 table 100", "route add 10.247.0.0/16 nexthop via 192.0.2.1 dev eth0 nexthop dev cni0",
		"rule add fwmark 0x200/0xf00 lookup 100 pref 9", "rule add from 10.244.0.0/16 lookup 100 pref 111", "rule add from all to 10.245.0.0/16 lookup 100 pref 110",
	} {
		n.IP(strings.Fields(command)...)
	}
}

// foreign are the events of others than multinic's links, whatever they are called, and rules, by their preferences.
func foreign(events []monitor.Event) []monitor.Event {
	ours := []string{"preference 25000", "preference 25001", "preference 25002", "preference 32764", "preference 32765"}

	return slices.DeleteFunc(events, func(event monitor.Event) bool {
		// The setting of a link that was only just renamed has a name that is not known yet.
		isSetting := strings.HasPrefix(event.Kind, "setting") && event.Link == ""

		return strings.HasPrefix(event.Link, "multi") || isSetting || strings.HasPrefix(event.Kind, "rule") && slices.Contains(ours, event.Text)
	})
}

// TestNothingForeignHearsOfIt through a first apply, a change, a failure with its undoing, a removal, restarts, and right after a
// daemon-reload, which has Netplan's files of the host generated anew. The control is what plain `netplan apply` does to the same host.
func TestNothingForeignHearsOfIt(t *testing.T) {
	onBothByBoth(t, func(t *testing.T, s *stage) {
		t.Helper()
		s.cni()
		all := rows()
		s.wire.AddHost("neighbour", "10.1.0.99/24")
		m := monitor.Start(t, s.node.Node)
		quiet := func(when string) {
			t.Helper()
			if heard := foreign(m.Mark(t)); len(heard) > 0 {
				t.Errorf("%s: %v", when, heard)
			}
		}
		s.fleet.Insert(all...)
		s.node.StartExecutor()
		s.fleet.AwaitAll()
		s.wantActivated("first apply")
		quiet("first apply")
		s.set(mac(0), "ip_address = '10.1.0.11', netplan_success = 0")
		s.fleet.AwaitAll()
		s.wantActivated("a change")
		quiet("a change")
		s.set(mac(0), "ip_address = '10.1.0.99'")
		s.fleet.AwaitResult(nodeName, mac(0), "FAILED ADDRESS_IN_USE")
		quiet("a failure")
		s.host.MustRun("systemctl", "daemon-reload")
		s.set(mac(0), "ip_address = '10.1.0.12', netplan_success = 0")
		s.fleet.AwaitAll()
		if got := s.activated(); got != "kernel" {
			t.Errorf("after a daemon-reload it was made live by %q", got)
		}
		quiet("a change after a daemon-reload")
		if err := s.node.Executor.Stop(); err != nil {
			t.Fatal(err)
		}
		s.node.StartExecutor()
		s.fleet.SQL("UPDATE multi_interface SET netplan_success = 0")
		s.fleet.AwaitAll()
		quiet("a restart")
		s.fleet.SQL("DELETE FROM multi_interface WHERE mac_address = '" + mac(1) + "'")
		s.fleet.Until(func() bool { return len(s.fleet.View(nodeName).GetInterfaces()) == 1 }, func() string { return s.fleet.View(nodeName).String() })
		quiet("a removal")

		s.host.MustRun("netplan", "apply")
		s.host.Configured("eth0")
		if heard := foreign(m.Mark(t)); len(heard) == 0 {
			t.Error("plain netplan apply does nothing to what is foreign, so silence proves nothing")
		} else {
			t.Logf("plain netplan apply: %d events, such as %v", len(heard), heard[0])
		}
	})
}

// TestWhatTheHostsManagerDoesLaterIsNotFought has somebody restart networkd, and apply Netplan: both set multinic's interfaces up
// from the same files. Whatever that disturbs is repaired, soon and without end.
func TestWhatTheHostsManagerDoesLaterIsNotFought(t *testing.T) {
	onBothByBoth(t, func(t *testing.T, s *stage) {
		t.Helper()
		all := rows()
		s.fleet.Insert(all...)
		s.node.StartExecutor()
		s.fleet.AwaitAll()
		applied := func() int { return strings.Count(s.node.Executor.Log(), `"apply started"`) }
		for _, command := range [][]string{
			{"systemctl", "restart", "systemd-networkd"}, {"netplan", "apply"}, {"networkctl", "reload"}, {"networkctl", "reconfigure", "multinic0", "multinic1"},
		} {
			before := applied()
			s.host.MustRun(command[0], command[1:]...)
			s.host.Configured("eth0", "multinic0", "multinic1")
			wrong := "not looked at"
			s.fleet.Until(func() bool {
				wrong = s.node.Judge(oracle.Expect{ByManager: true}, all...)

				return wrong == ""
			}, func() string { return strings.Join(command, " ") + ": " + wrong })
			s.fleet.SQL("UPDATE multi_interface SET netplan_success = 0")
			s.fleet.AwaitAll()
			m := monitor.Start(t, s.node.Node)
			repaired := applied()
			time.Sleep(3 * time.Second) // Long enough for a fight to be seen, of which each blow would follow at once.
			if events := m.Mark(t); len(events) > 0 || applied() != repaired || repaired-before > 2 {
				t.Errorf("%s: %d interfaces were repaired, %d of them later, and there were the events %v", command, applied()-before, applied()-repaired, events)
			}
			t.Logf("%s: %d repairs", command, repaired-before)
		}
	})
}
