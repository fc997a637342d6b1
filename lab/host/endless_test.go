package host_test

import (
	"strings"
	"testing"

	"multinic.dev/testbed/oracle"
)

// TestAnEndlessLeaseIsALease though to the kernel its address is like one that somebody has put there by hand: networkd knows. One that
// somebody has put there beside it is in the way, as ever.
func TestAnEndlessLeaseIsALease(t *testing.T) {
	for _, release := range both() {
		t.Run(string(release), func(t *testing.T) {
			s := newStageBy(t, release, true)
			s.wire.AddHost("router", "10.9.0.1/24").ServeEndlessDHCP("10.9.0.100", "10.9.0.200")
			s.node.IP("link", "set", "multinic0", "name", "ens5")
			s.cards[1].Unplug()
			s.host.Write("/etc/netplan/55-stub.yaml", 0o600, strings.Replace(stub, "%s", "en*", 1))
			s.host.MustRun("netplan", "apply")
			addresses := func() string { return s.node.IP("-4", "address", "show", "dev", "ens5") }
			s.fleet.Until(func() bool { return strings.Contains(addresses(), "inet 10.9.0.1") }, addresses)
			s.host.MustRun("systemctl", "restart", "systemd-networkd")
			s.host.Configured("eth0", "ens5")
			if is := addresses(); !strings.Contains(is, "valid_lft forever") || strings.Contains(is, "sec") {
				t.Fatalf("the lease has an end, so nothing is shown: %s", is)
			}

			all := rows()[:1]
			s.fleet.Insert(all...)
			s.node.StartExecutor()
			s.fleet.AwaitResult(nodeName, mac(0), "REFUSED LINK_IN_USE: ens5 ("+mac(0)+") is in use by something else: it has the address 10.9.0.1")
			if err := s.node.Executor.Stop(); err != nil {
				t.Fatal(err)
			}
			s.node.IP("address", "add", "10.9.7.7/24", "dev", "ens5")
			s.node.StartExecutor("--take-dhcp")
			s.fleet.AwaitResult(nodeName, mac(0), "REFUSED LINK_IN_USE: ens5 ("+mac(0)+") is in use by something else: it has the address 10.9.7.7/24")
			s.node.IP("address", "delete", "10.9.7.7/24", "dev", "ens5")
			s.fleet.AwaitAll()
			s.wantActivated("taken")
			s.right(oracle.Expect{}, all...)
		})
	}
}
