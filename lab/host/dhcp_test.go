package host_test

import (
	"strings"
	"testing"

	"multinic.dev/testbed/oracle"
)

// stub is what a cloud image brings: whatever is called en* asks for an address by DHCP.
const stub = "network:\n  version: 2\n  ethernets:\n    all-en:\n      match: {name: \"%s\"}\n      accept-ra: false\n      dhcp4: true\n      dhcp4-overrides: {use-routes: false}\n"

// TestAStubGivesWay to a row, now and at the next boot, if that is asked for; the stub is for whatever is called by some pattern, and one
// of them is also for what is called as multinic calls it. It is the stub's again when the row goes.
func TestAStubGivesWay(t *testing.T) {
	for _, pattern := range []string{"en*", "[em][nu]*"} {
		for _, release := range both() {
			t.Run(string(release)+" "+pattern, func(t *testing.T) {
				s := newStageBy(t, release, true)
				s.wire.AddHost("router", "10.9.0.1/24").ServeDHCP("10.9.0.100", "10.9.0.200")
				s.node.IP("link", "set", "multinic0", "name", "ens5")
				s.cards[1].Unplug()
				s.host.Write("/etc/netplan/55-stub.yaml", 0o600, strings.Replace(stub, "%s", pattern, 1))
				s.host.MustRun("netplan", "apply")
				leased := func(link string) bool {
					return strings.Contains(s.node.IP("-br", "-4", "address", "show", "dev", link), "10.9.0.1")
				}
				s.fleet.Until(func() bool { return leased("ens5") }, func() string { return s.node.IP("address", "show", "dev", "ens5") })
				s.host.MustRun("systemctl", "restart", "systemd-networkd")
				s.host.Configured("eth0", "ens5")

				// Not asked for.
				all := rows()[:1]
				s.fleet.Insert(all...)
				s.node.StartExecutor()
				s.fleet.AwaitResult(nodeName, mac(0), "REFUSED LINK_IN_USE: ens5 ("+mac(0)+") is in use by something else: it has the address 10.9.0.1")
				if err := s.node.Executor.Stop(); err != nil {
					t.Fatal(err)
				}

				s.node.StartExecutor("--take-dhcp")
				s.fleet.AwaitAll()
				s.wantActivated("taken")
				s.right(oracle.Expect{}, all...)
				if status := s.host.MustRun("networkctl", "status", "multinic0"); strings.Contains(status, "all-en") || strings.Contains(status, "DHCP4") {
					t.Errorf("networkd says of multinic0:\n%s", status)
				}

				// Without the executor.
				if err := s.node.Executor.Kill(); err != nil {
					t.Fatal(err)
				}
				s.host.Kill()
				s.boot()
				s.host.Configured("multinic0")
				s.right(oracle.Expect{}, all...)

				files := s.host.Files("/etc/systemd", "/etc/netplan")
				if early := strings.Contains(files, "/etc/systemd/network/09-multinic0.network"); !early {
					t.Errorf("nothing goes before the stub at the next boot:\n%s", files)
				}
				s.node.StartExecutor("--take-dhcp")
				s.fleet.SQL("UPDATE multi_interface SET netplan_success = 0")
				s.fleet.AwaitAll()
				s.fleet.SQL("DELETE FROM multi_interface")
				s.fleet.Until(func() bool { return len(s.fleet.View(nodeName).GetInterfaces()) == 0 }, func() string { return s.fleet.View(nodeName).String() })
				if left := s.host.Files("/etc"); strings.Contains(left, "-multinic") {
					t.Errorf("left is\n%s", left)
				}
			})
		}
	}
}

// TestAStubKeepsWhatItCannotBeTakenFrom while networkd cannot be told to let go.
func TestAStubKeepsWhatItCannotBeTakenFrom(t *testing.T) {
	onBoth(t, func(t *testing.T, s *stage) {
		t.Helper()
		s.wire.AddHost("router", "10.9.0.1/24").ServeDHCP("10.9.0.100", "10.9.0.200")
		s.node.IP("link", "set", "multinic0", "name", "ens5")
		s.host.Write("/etc/netplan/55-stub.yaml", 0o600, strings.Replace(stub, "%s", "en*", 1))
		s.host.MustRun("netplan", "apply")
		s.host.Configured("eth0", "ens5")
		files, was := s.host.Files("/etc"), s.node.IP("-br", "address", "show", "dev", "ens5")
		s.fleet.Insert(rows()[0])
		s.node.StartExecutor("--take-dhcp")
		said := s.fleet.AwaitResult(nodeName, mac(0), "FAILED APPLY_FAILED: /etc/netplan/55-stub.yaml (all-en) has an address asked for it by DHCP")
		if !strings.Contains(said, "set ManageForeignRoutes=no") {
			t.Errorf("it does not say what to do: %s", said)
		}
		if is := s.node.IP("-br", "address", "show", "dev", "ens5"); is != was {
			t.Errorf("ens5 was %s and is %s", was, is)
		}
		if is := s.host.Files("/etc"); is != files {
			t.Errorf("/etc was\n%s\nand is\n%s", files, is)
		}
	})
}
