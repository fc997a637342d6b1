package host_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"multinic.dev/testbed/oracle"
)

const networkd = "systemd-networkd.service"

// TestTheHostsManagerMayFailInAnyWay has both rows change while networkd is stopped, masked, hangs, or is killed just then, and while
// there is no systemctl: the executor changes the kernel by itself and asks nobody, so nothing is lost. What networkd makes of the
// files when it is back is the same.
func TestTheHostsManagerMayFailInAnyWay(t *testing.T) {
	onBoth(t, func(t *testing.T, s *stage) {
		t.Helper()
		all := rows()
		s.fleet.Insert(all...)
		s.node.StartExecutor()
		s.fleet.AwaitAll()
		nothing, before := func() {}, ""
		stop := func() { s.host.MustRun("systemctl", "stop", "systemd-networkd.socket", networkd) }
		start := func() { s.host.MustRun("systemctl", "start", networkd) }
		signal := func(name string) { s.host.MustRun("systemctl", "kill", "--signal="+name, networkd) }
		for number, test := range []struct {
			what               string
			begin, midway, end func()
			is                 string // what systemd says of networkd before anything is changed, and what the kernel does
		}{
			{"networkd is stopped", stop, nothing, start, "inactive -"},
			{"networkd is masked", func() { stop(); s.host.MustRun("systemctl", "mask", "--runtime", networkd) }, nothing,
				func() { s.host.MustRun("systemctl", "unmask", "--runtime", networkd); start() }, "inactive -"},
			{"networkd hangs", func() { signal("STOP") }, nothing, func() { signal("CONT") }, "active T"},
			{"networkd is killed in the middle", func() { before = s.networkd() }, func() { signal("KILL") },
				func() { s.until(func() bool { now := s.networkd(); return now != "0" && now != before }) }, "active S"},
			{"systemctl is missing", func() { s.host.MustRun("mv", "/usr/bin/systemctl", "/root/") }, nothing,
				func() { s.host.MustRun("mv", "/root/systemctl", "/usr/bin/") }, "unknown"},
		} {
			t.Run(test.what, func(t *testing.T) {
				test.begin()
				if is := s.state(); is != test.is {
					t.Fatalf("networkd is %q, not %q: nothing is shown", is, test.is)
				}
				for i := range all {
					all[i].Address = fmt.Sprintf("10.%d.0.%d", i+1, 11+number)
					s.set(mac(i), "ip_address = '"+all[i].Address+"', netplan_success = 0")
				}
				s.until(s.inTransaction)
				test.midway()
				s.fleet.AwaitAll()
				s.right(oracle.Expect{ByManager: true}, all...) // It has marked what was there before.

				test.end()
				s.host.Configured("multinic0", "multinic1")
				wrong := "not looked at"
				s.fleet.Until(func() bool {
					wrong = s.node.Judge(oracle.Expect{ByManager: true}, all...)

					return wrong == ""
				}, func() string { return "with networkd back: " + wrong })
				s.fleet.SQL("UPDATE multi_interface SET netplan_success = 0")
				s.fleet.AwaitAll()
			})
		}
	})
}

// inTransaction says whether the executor is changing something.
func (s *stage) inTransaction() bool {
	_, err := os.Stat(s.host.Path("/var/lib/multinic/journal.json"))

	return err == nil
}

// networkd is its process id, as systemd knows it.
func (s *stage) networkd() string {
	s.Helper()

	return strings.TrimSpace(s.host.MustRun("systemctl", "show", "--property=MainPID", "--value", networkd))
}

// state is what systemd says of networkd, and the state in which the kernel has its process, "-" if there is none.
func (s *stage) state() string {
	s.Helper()
	if _, code := s.host.Run("test", "-x", "/usr/bin/systemctl"); code != 0 {
		return "unknown"
	}
	out, _ := s.host.Run("systemctl", "is-active", networkd) // It exits with 3 where it is not.
	state := strings.TrimSpace(out)
	pid := s.networkd()
	if pid == "0" {
		return state + " -"
	}
	for line := range strings.Lines(s.host.MustRun("cat", "/proc/"+pid+"/status")) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "State:" {
			return state + " " + fields[1]
		}
	}

	return state
}
