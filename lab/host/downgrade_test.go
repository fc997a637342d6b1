package host_test

import (
	"strings"
	"testing"

	"multinic.dev/lab/fleet"
	"multinic.dev/testbed/oracle"
)

// told are the files that networkd was given in /run, by whose means its interfaces are what they are.
func (s *stage) told() string {
	s.Helper()

	return s.host.MustRun("sh", "-c", "cd /run/systemd/network; grep -H Address= 07-* 2>/dev/null || true")
}

// TestWhatNetworkdWasToldGoesWhenItIsToldNoMore has an executor that may not tell networkd go on where another has told it: the files that it
// was told by must not say what was. So a networkd that starts again makes the same as the kernel has, and nothing of what was removed.
func TestWhatNetworkdWasToldGoesWhenItIsToldNoMore(t *testing.T) {
	for _, release := range both() {
		t.Run(string(release), func(t *testing.T) {
			s := newStageBy(t, release, true)
			all := rows()
			s.fleet.Insert(all...)
			s.node.StartExecutor()
			s.fleet.AwaitAll()
			s.wantActivated("at first")
			if told := s.told(); !strings.Contains(told, "10.1.0.10/24") || !strings.Contains(told, "10.2.0.10/24") {
				t.Fatalf("networkd was told\n%s\nso nothing is shown", told)
			}
			if err := s.node.Executor.Stop(); err != nil {
				t.Fatal(err)
			}
			s.node.StartExecutor("--activation=kernel")
			restart := func(when string, want ...fleet.Row) {
				t.Helper()
				s.right(oracle.Expect{}, want...)
				s.host.MustRun("systemctl", "restart", networkd)
				s.host.Configured("eth0")
				wrong := "not looked at"
				s.fleet.Until(func() bool {
					wrong = s.node.Judge(oracle.Expect{ByManager: true}, want...)

					return wrong == ""
				}, func() string { return when + ", after a restart of networkd: " + wrong })
			}
			repairs := func() int { return strings.Count(s.node.Executor.Log(), `"apply started"`) }

			all[0].Address = "10.1.0.11"
			s.set(mac(0), "ip_address = '10.1.0.11', netplan_success = 0")
			s.fleet.AwaitAll()
			if got := s.activated(); got != "kernel" {
				t.Errorf("it was made live by %q", got)
			}
			if told := s.told(); strings.Contains(told, "10.1.0.") || !strings.Contains(told, "10.2.0.10/24") {
				t.Errorf("after the change networkd is told\n%s", told)
			}
			before := repairs()
			restart("changed", all...)
			// It sets up the rules that are there already, with its own mark: those that are double go.
			if repaired := repairs() - before; repaired > 1 {
				t.Errorf("there were %d repairs", repaired)
			}

			s.fleet.SQL("DELETE FROM multi_interface WHERE mac_address = '" + mac(1) + "'")
			s.fleet.Until(func() bool { return len(s.fleet.View(nodeName).GetInterfaces()) == 1 }, func() string { return s.fleet.View(nodeName).String() })
			if told := s.told(); told != "" {
				t.Errorf("after the removal networkd is told\n%s", told)
			}
			restart("removed", all[0])
			if addresses := s.host.MustRun("ip", "-4", "address", "show"); strings.Contains(addresses, "10.2.0.10") {
				t.Errorf("what was removed is back:\n%s", addresses)
			}
		})
	}
}
