package host_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"multinic.dev/testbed/monitor"
	"multinic.dev/testbed/oracle"
)

// TestWhatHappensToACardIsRepairedOnceAtMost whoever of networkd and the executor puts it right, and nothing happens afterwards.
func TestWhatHappensToACardIsRepairedOnceAtMost(t *testing.T) {
	onBothByBoth(t, func(t *testing.T, s *stage) {
		t.Helper()
		all := rows()
		s.fleet.Insert(all...)
		s.node.StartExecutor()
		s.fleet.AwaitAll()
		batch := func(lines ...string) func() {
			return func() { s.host.MustRun("sh", "-c", "printf '"+strings.Join(lines, "\n")+"\n' | ip -batch -") }
		}
		for _, test := range []struct {
			what string
			by   func()
			// least is how many repairs there must be: networkd does nothing about it.
			least int
		}{
			{"unplugged and plugged in again", func() { s.cards[1].Unplug(); s.cards[1] = s.cards[1].PlugInAgain("multinic1", mac(1)) }, 0},
			{"renamed by hand", batch("link set multinic1 down", "link set multinic1 name mine", "link set mine up"), 1},
			{"address removed by hand", batch("address flush dev multinic1 scope global"), 1},
			{"all rules removed by hand", batch("rule delete pref 25000 from 10.2.0.10", "rule delete pref 25001 from 10.2.0.10", "rule delete pref 25002 from 10.2.0.10"), 1},
			{"taken down and up", batch("link set multinic1 down", "link set multinic1 up"), 0},
			{"set up anew", func() { s.host.MustRun("networkctl", "reconfigure", "multinic1") }, 0},
		} {
			t.Run(test.what, func(t *testing.T) {
				// Who changes an interface again and again is answered ever more slowly: this executor has repaired nothing yet.
				if err := s.node.Executor.Stop(); err != nil {
					t.Fatal(err)
				}
				s.node.StartExecutor()
				s.fleet.SQL("UPDATE multi_interface SET netplan_success = 0")
				s.fleet.AwaitAll()
				m := monitor.Start(t, s.node.Node)
				before := s.repairs()
				test.by()
				wrong := "not looked at"
				s.fleet.Until(func() bool {
					wrong = s.node.Judge(oracle.Expect{ByManager: true}, all...)

					return wrong == "" && s.fleet.Flags() == "1 1"
				}, func() string { return wrong })
				events := m.Mark(t)
				if len(events) == 0 && (s.byManager || test.least > 0) {
					t.Fatal("nothing has happened")
				}
				time.Sleep(calm)
				if later := moved(m.Mark(t)); len(later) > 0 {
					t.Errorf("later there was %v", later)
				}
				repairs := s.repairs() - before
				if repairs < test.least || repairs > 1 {
					t.Errorf("there were %d repairs", repairs)
				}
				t.Logf("%d events, %d repairs", len(events), repairs)
				s.right(oracle.Expect{ByManager: true}, all...)
			})
		}
	})
}

// TestACardThatIsGoneLeavesNoRules whoever has made them, and has its own once when it is back.
func TestACardThatIsGoneLeavesNoRules(t *testing.T) {
	onBothByBoth(t, func(t *testing.T, s *stage) {
		t.Helper()
		all := rows()
		s.fleet.Insert(all...)
		s.node.StartExecutor()
		s.fleet.AwaitAll()
		time.Sleep(calm) // The kernel speaks of links that came up once more, within a second.
		for range 2 {
			m := monitor.Start(t, s.node.Node)
			s.cards[1].Unplug()
			s.fleet.AwaitResult(nodeName, mac(1), "WAITING_FOR_LINK")
			left := "not looked at"
			s.fleet.Until(func() bool {
				left = s.node.Judge(oracle.Expect{ByManager: true, Without: []string{mac(1)}}, all...)

				return left == ""
			}, func() string { return "without the card the kernel:\n" + left })
			for _, event := range moved(m.Mark(t)) {
				if event.Link == "multinic0" || event.Link == "eth0" {
					t.Errorf("another card was disturbed: %v", event)
				}
			}
			time.Sleep(calm)
			if later := moved(m.Mark(t)); len(later) > 0 {
				t.Errorf("later there was %v", later)
			}

			s.cards[1] = s.cards[1].PlugInAgain("multinic1", mac(1))
			s.fleet.AwaitAll()
			time.Sleep(calm)
			s.right(oracle.Expect{ByManager: true}, all...)
			if rules := s.host.MustRun("ip", "rule", "show"); strings.Count(rules, "from 10.2.0.10 ") != 3 {
				t.Errorf("the rules are\n%s", rules)
			}
			if status := s.host.MustRun("networkctl", "status", "multinic1"); s.byManager && !strings.Contains(status, "(configured)") {
				t.Errorf("networkd says\n%s", status)
			}
		}
	})
}

// calm is for how long nothing may move after a repair. In a fight each blow would follow the other at once, or after the second or two
// for which the executor leaves alone what it has just repaired.
const calm = 4 * time.Second

// moved are events but for those of a link's own address, which the kernel gives it in its own time.
func moved(events []monitor.Event) []monitor.Event {
	return slices.DeleteFunc(events, func(e monitor.Event) bool {
		return strings.HasPrefix(e.Text, "fe80:") || strings.HasPrefix(e.Text, "ff00:") || e.Kind == "link new" && e.Text == ""
	})
}

// repairs counts how often the executor has begun to change an interface.
func (s *stage) repairs() int {
	lines := slices.Collect(strings.Lines(s.node.Executor.Log()))

	return len(slices.DeleteFunc(lines, func(line string) bool { return !strings.Contains(line, `"apply started"`) }))
}
