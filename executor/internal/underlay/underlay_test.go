package underlay_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/underlay"
)

func address(cidr string) plan.Address { return plan.Address{Prefix: netip.MustParsePrefix(cidr)} }

// aNode is reached by a bond, has a bridge with a pod on it, one of multinic's links with a default route that somebody has put
// there by hand, and a virtual address.
func aNode() plan.Kernel {
	everywhere := netip.MustParsePrefix("0.0.0.0/0")

	return plan.Kernel{
		Links: []plan.Link{
			{Index: 1, Name: "lo", Loopback: true, Up: true, MTU: 65536, Addresses: []plan.Address{address("127.0.0.1/8")}},
			{Index: 2, Name: "eth0", MAC: "02:00:00:00:00:02", Master: 4, Up: true, MTU: 1500},
			{Index: 3, Name: "eth1", MAC: "02:00:00:00:00:03", Master: 4, Up: true, MTU: 1500},
			{Index: 4, Name: "bond0", Kind: "bond", Up: true, MTU: 1500, Addresses: []plan.Address{address("192.0.2.5/24"), address("192.0.2.100/32")}},
			{Index: 5, Name: "multinic0", MAC: "02:00:00:00:00:05", Up: true, MTU: 1500, Addresses: []plan.Address{address("198.51.100.5/24")}},
			{Index: 9, Name: "eth3", MAC: "02:00:00:00:00:09", Master: 10, Up: true, MTU: 1500},
			{Index: 10, Name: "br0", Kind: "bridge", Up: true, MTU: 1500, Addresses: []plan.Address{address("203.0.113.6/24")}},
			{Index: 11, Name: "vnet0", Kind: "tun", Master: 10, Up: true, MTU: 1500},
			{Index: 6, Name: "cni0", Kind: "bridge", Up: true, MTU: 1450, Addresses: []plan.Address{address("10.244.0.1/24")}},
			{Index: 7, Name: "pod", Kind: "veth", Master: 6, Up: true, MTU: 1450},
			{Index: 8, Name: "admin", MAC: "02:00:00:00:00:08", Up: true, MTU: 1500, Addresses: []plan.Address{address("203.0.113.5/24")}},
		},
		Routes: []plan.Route{
			{Table: plan.MainTable, To: everywhere, Via: netip.MustParseAddr("192.0.2.1"), Link: 4, Metric: 100, Protocol: 16},
			{Table: plan.MainTable, To: everywhere, Via: netip.MustParseAddr("198.51.100.1"), Link: 5, Metric: 200, Protocol: 3},
			{Table: plan.MainTable, To: netip.MustParsePrefix("10.244.1.0/24"), Via: netip.MustParseAddr("192.0.2.7"), Link: 4, Protocol: 80},
			{Table: 77, To: everywhere, Via: netip.MustParseAddr("10.244.0.9"), Link: 6, Protocol: 3},
		},
	}
}

func claims() plan.Claims {
	return plan.Claims{"02:00:00:00:00:05": {Name: "multinic0", VLANs: []int{0}}}
}

func of(kernel plan.Kernel) underlay.Underlay {
	return underlay.Of(kernel, claims(), []netip.Addr{netip.MustParseAddr("203.0.113.5"), netip.MustParseAddr("203.0.113.6")})
}

func TestWhatIsLostIsSaid(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(k *plan.Kernel)
		want   string
	}{
		{"nothing", func(*plan.Kernel) {}, ""},
		{"the bond's address", func(k *plan.Kernel) { k.Links[3].Addresses = k.Links[3].Addresses[1:] }, "bond0 has lost the address 192.0.2.5/24"},
		{"a virtual address", func(k *plan.Kernel) { k.Links[3].Addresses = k.Links[3].Addresses[:1] }, ""},
		{"the default route", func(k *plan.Kernel) { k.Routes = k.Routes[1:] }, "bond0 is gone, or is not the node's way out any more; " +
			"eth0 is gone, or is not the node's way out any more; eth1 is gone, or is not the node's way out any more; " +
			"the default route via 192.0.2.1 (metric 100) is gone"},
		{"a slave", func(k *plan.Kernel) { k.Links = slices.Delete(k.Links, 1, 2) }, "eth0 is gone, or is not the node's way out any more"},
		{"a slave's master", func(k *plan.Kernel) { k.Links[1].Master = 0 }, "eth0 is gone, or is not the node's way out any more"},
		{"up", func(k *plan.Kernel) { k.Links[2].Up = false }, "eth1 is down"},
		{"the MTU", func(k *plan.Kernel) { k.Links[3].MTU = 1400 }, "the MTU of bond0 was 1500 and is 1400"},
		{"the name", func(k *plan.Kernel) { k.Links[3].Name = "bond1" }, "bond0 is named bond1 now"},
		{"the node's own address", func(k *plan.Kernel) { k.Links[10].Addresses = nil }, "admin is gone, or is not the node's way out any more"},
		{"multinic's", func(k *plan.Kernel) { k.Links[4].Addresses, k.Links[4].Up = nil, false }, ""},
		{"a pod", func(k *plan.Kernel) { k.Links = slices.Delete(k.Links, 9, 10) }, ""},
		{"the uplink of a bridge", func(k *plan.Kernel) { k.Links[5].Up = false }, "eth3 is down"},
		{"another port of a bridge", func(k *plan.Kernel) { k.Links = slices.Delete(k.Links, 7, 8) }, ""},
		{"a pods' bridge", func(k *plan.Kernel) { k.Links = slices.Delete(k.Links, 8, 10) }, ""},
		{"a route of a CNI", func(k *plan.Kernel) { k.Routes = slices.Delete(k.Routes, 2, 4) }, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			after := aNode()
			test.change(&after)
			lost := of(aNode()).Lost(of(after))
			slices.Sort(lost)
			if got := strings.Join(lost, "; "); got != test.want {
				t.Errorf("lost: %s\nwant: %s", got, test.want)
			}
		})
	}
}

func TestWhatIsNewIsNoLoss(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		after := aNode()
		for i := range rapid.IntRange(0, 5).Draw(t, "more") {
			index := 20 + i
			after.Links = append(after.Links, plan.Link{
				Index: index, Name: "new", Kind: rapid.SampledFrom([]string{"veth", "dummy", ""}).Draw(t, "kind"), Master: rapid.SampledFrom([]int{0, 6}).Draw(t, "master"),
				Up: rapid.Bool().Draw(t, "up"), Addresses: []plan.Address{address("10.9.9.9/32")},
			})
			after.Routes = append(after.Routes, plan.Route{
				Table: rapid.SampledFrom([]int{plan.MainTable, 77}).Draw(t, "table"), To: netip.MustParsePrefix(rapid.SampledFrom([]string{"0.0.0.0/0", "10.0.0.0/8"}).Draw(t, "to")),
				Link: rapid.SampledFrom([]int{4, index}).Draw(t, "link"), Metric: 500,
			})
			at := rapid.IntRange(0, len(after.Links)-1).Draw(t, "at")
			after.Links[at].Addresses = append(slices.Clone(after.Links[at].Addresses), address("192.0.2.200/32"))
		}
		if lost := of(aNode()).Lost(of(after)); len(lost) > 0 {
			t.Errorf("lost: %v", lost)
		}
	})
}
