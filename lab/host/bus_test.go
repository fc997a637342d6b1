package host_test

import (
	"strings"
	"testing"

	"multinic.dev/lab/fleet"
	"multinic.dev/testbed/oracle"
)

// TestAHungSystemBusHoldsUpNothing has rows change while the host's D-Bus hangs: the kernel is changed instead of telling networkd, the log
// says why, and the session stays. Where networkd alone may be told, the reason is said. Netplan's generator, which asks systemd by that
// bus, is not held up either. When the bus goes on, networkd is told again.
func TestAHungSystemBusHoldsUpNothing(t *testing.T) {
	for _, release := range both() {
		t.Run(string(release), func(t *testing.T) {
			s := newStageBy(t, release, true)
			all := rows()
			s.fleet.Insert(all...)
			s.node.StartExecutor()
			s.fleet.AwaitAll()
			s.wantActivated("at first")
			signal := func(name string) { s.host.MustRun("sh", "-c", "kill -"+name+" $(pidof dbus-daemon)") }
			change := func(address string) {
				all[0].Address = address
				s.set(mac(0), "ip_address = '"+address+"', netplan_success = 0")
			}
			awaitAll := func() {
				t.Helper()
				s.fleet.UntilWithin(3*fleet.Patience, func() bool { return s.fleet.Flags() == "1 1" }, func() string { return s.fleet.Result(nodeName, mac(0)) })
				s.right(oracle.Expect{}, all...)
			}

			signal("STOP")
			change("10.1.0.11")
			awaitAll()
			const reason = "the host's system bus (D-Bus) has not answered within 5s"
			if log := s.node.Executor.Log(); s.activated() != "kernel" || strings.Count(log, reason) != 1 {
				t.Errorf("it was made live by %q, and the log is\n%s", s.activated(), log)
			}
			change("10.1.0.12")
			awaitAll()
			if log := s.node.Executor.Log(); strings.Contains(log, "session closed") || strings.Count(log, "session opened") != 1 {
				t.Errorf("the session did not stay:\n%s", log)
			}

			if err := s.node.Executor.Stop(); err != nil {
				t.Fatal(err)
			}
			s.node.StartExecutor("--activation=manager")
			change("10.1.0.13")
			said := ""
			s.fleet.UntilWithin(3*fleet.Patience, func() bool {
				said = s.fleet.Result(nodeName, mac(0))

				return strings.HasPrefix(said, "FAILED APPLY_FAILED: networkd cannot be told: "+reason)
			}, func() string { return said })
			s.fleet.AwaitFlags("0 1")

			signal("CONT")
			awaitAll()
			s.wantActivated("with the bus back")
		})
	}
}

// TestNetplanGeneratesTheSameWithoutASystemBus of whatever a host may have, and of ours: it is kept from the bus when it is asked what it
// would make.
func TestNetplanGeneratesTheSameWithoutASystemBus(t *testing.T) {
	for _, release := range both() {
		t.Run(string(release), func(t *testing.T) {
			s := newStage(t, release)
			s.fleet.Insert(rows()...)
			s.node.StartExecutor()
			s.fleet.AwaitAll()
			s.host.Write("/etc/netplan/60-others.yaml", 0o600, `network:
  version: 2
  ethernets:
    eth7: {match: {macaddress: "02:00:5e:10:07:07"}, set-name: eth7, dhcp4: true, wakeonlan: true}
    eth8: {renderer: NetworkManager, dhcp6: true}
  bridges:
    br7: {interfaces: [eth7], addresses: [10.7.0.1/24], nameservers: {addresses: [10.7.0.2]}}
  vlans:
    v7: {id: 7, link: br7, routes: [{to: 10.8.0.0/16, via: 10.7.0.9}], addresses: [10.7.7.1/24]}
`)
			generated := func(environment ...string) string {
				s.host.MustRun("sh", "-c", "rm -rf /run/trial; mkdir -p /run/trial/etc; cp -rL /etc/netplan /run/trial/etc/")
				s.host.MustRun("env", append(environment, generator(s), "--root-dir", "/run/trial")...)

				return s.host.MustRun("sh", "-c", "cd /run/trial/run && find . -type f -exec grep -H '' {} + -o -type l -printf '%p %l\n' | sort")
			}
			with := generated()
			if without := generated("DBUS_SYSTEM_BUS_ADDRESS=unix:path=/nonexistent"); without != with {
				t.Errorf("with the bus it generates\n%s\nand without\n%s", with, without)
			}
			for _, part := range []string{"10-netplan-multinic0", "10-netplan-v7.netdev", "netplan-eth8"} {
				if !strings.Contains(with, part) {
					t.Errorf("nothing is generated of %s, so nothing is shown:\n%s", part, with)
				}
			}
		})
	}
}
