package link_test

import (
	"net/netip"
	"testing"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/testbed/node"
)

func TestTheKernelSaysWhichWayItGoes(t *testing.T) {
	n := node.New(t, "node")
	n.Underlay("eth0", "02:00:00:00:00:10", "192.0.2.5/24", "192.0.2.1", 100, node.NewWire(t, "wire"))
	n.IP("address", "add", "2001:db8::5/64", "dev", "eth0", "nodad")
	n.IP("route", "add", "unreachable", "203.0.113.0/24")
	n.IP("route", "add", "blackhole", "203.0.112.0/24")
	k := open(t, n)
	kernel, err := k.Read(t.Context())
	must(t, err)
	eth0 := 0
	for _, l := range kernel.Links {
		if l.Name == "eth0" {
			eth0 = l.Index
		}
	}
	addr := netip.MustParseAddr
	for destination, want := range map[string]plan.Path{
		"192.0.2.9":     {Link: eth0, Source: addr("192.0.2.5")},
		"198.51.100.1":  {Link: eth0, Source: addr("192.0.2.5"), Via: addr("192.0.2.1")},
		"203.0.113.1":   {},
		"203.0.112.1":   {},
		"2001:db8::9":   {Link: eth0, Source: addr("2001:db8::5")},
		"2001:db8:1::9": {},
	} {
		if got, err := k.Lookup(addr(destination)); err != nil || got != want {
			t.Errorf("to %s: %+v, %v, want %+v", destination, got, err, want)
		}
	}
}
