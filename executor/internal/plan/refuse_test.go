package plan_test

import (
	"net/netip"
	"strings"
	"testing"

	"multinic.dev/executor/internal/plan"
)

func TestASpecThatNoInterfaceCanBeIsRefused(t *testing.T) {
	for _, test := range []struct {
		name, address, gateway string
		mtu                    int
		want                   string
	}{
		{"all is well", "198.51.100.10/24", "198.51.100.1", 1500, ""},
		{"/8", "10.0.0.1/8", "10.0.0.2", 68, ""},
		{"/31", "198.51.100.10/31", "198.51.100.11", 65535, ""},
		{"first of a /31", "198.51.100.0/31", "", 0, ""},
		{"/32", "198.51.100.0/32", "203.0.113.255", 0, ""},
		{"/7", "10.0.0.1/7", "", 0, "10.0.0.0/7 is larger than any network: ask for a prefix length of 8 or more"},
		{"/0", "10.0.0.1/0", "", 0, "0.0.0.0/0 is larger than any network: ask for a prefix length of 8 or more"},
		{"IPv6", "2001:db8::1/64", "", 0, "2001:db8::1 is no IPv4 address, which no interface can have: choose a host's address"},
		{"IPv4 in IPv6", "::ffff:192.0.2.10/120", "", 0, "::ffff:192.0.2.10 is no IPv4 address, which no interface can have: choose a host's address"},
		{"this network", "0.1.2.3/24", "", 0, "0.1.2.3 is an address of \"this network\" (0.0.0.0/8), which no interface can have: choose a host's address"},
		{"loopback", "127.0.0.2/24", "", 0, "127.0.0.2 is a loopback address, which no interface can have: choose a host's address"},
		{"link-local", "169.254.1.1/16", "", 0, "169.254.1.1 is a link-local address (169.254.0.0/16), which no interface can have: choose a host's address"},
		{"multicast", "224.0.0.1/24", "", 0, "224.0.0.1 is a multicast address, which no interface can have: choose a host's address"},
		{"class E", "240.0.0.1/24", "", 0, "240.0.0.1 is a reserved address (240.0.0.0/4), which no interface can have: choose a host's address"},
		{"broadcast of all", "255.255.255.255/32", "", 0, "255.255.255.255 is a reserved address (240.0.0.0/4), which no interface can have: choose a host's address"},
		{"network", "198.51.100.0/24", "", 0, "198.51.100.0 is the network or broadcast address of 198.51.100.0/24: choose a host's address"},
		{"broadcast", "198.51.100.11/30", "", 0, "198.51.100.11 is the network or broadcast address of 198.51.100.8/30: choose a host's address"},
		{"gateway alone", "", "198.51.100.1", 0, "there is a gateway, 198.51.100.1, but no address that could reach it: ask for both or for neither"},
		{"own gateway", "198.51.100.10/24", "198.51.100.10", 0, "the gateway 198.51.100.10 is the interface's own address: name the router, or ask for none"},
		{"own gateway of a /32", "198.51.100.10/32", "198.51.100.10", 0, "the gateway 198.51.100.10 is the interface's own address: name the router, or ask for none"},
		{"gateway elsewhere", "198.51.100.10/24", "198.51.101.1", 0, "the gateway 198.51.101.1 does not lie in 198.51.100.0/24: correct the gateway or the subnet mask"},
		{"gateway is the network", "198.51.100.10/24", "198.51.100.0", 0, "the gateway 198.51.100.0 is the network or broadcast address of 198.51.100.0/24: name the router, or ask for none"},
		{"gateway is the broadcast", "198.51.100.10/24", "198.51.100.255", 0, "the gateway 198.51.100.255 is the network or broadcast address of 198.51.100.0/24: name the router, or ask for none"},
		{"gateway of multicast", "198.51.100.10/32", "224.0.0.1", 0, "the gateway 224.0.0.1 is a multicast address, which no router has: name the router, or ask for none"},
		{"gateway of IPv6", "198.51.100.10/24", "fe80::1", 0, "the gateway fe80::1 is no IPv4 address, which no router has: name the router, or ask for none"},
		{"MTU too small", "", "", 67, "the MTU 67 is out of range: ask for 68 to 65535, or for none"},
		{"MTU too large", "", "", 65536, "the MTU 65536 is out of range: ask for 68 to 65535, or for none"},
		{"MTU negative", "", "", -1, "the MTU -1 is out of range: ask for 68 to 65535, or for none"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := plan.Decide([]plan.Item{item(mac0, test.address, test.gateway, test.mtu)}, nil, node("eth1").read()).Decisions[0]
			want := plan.None
			if test.want != "" {
				want = plan.SpecInvalid
			}
			if got.Obstacle != want || got.Message != test.want {
				t.Errorf("obstacle %d, message\n%s\nwant %d\n%s", got.Obstacle, got.Message, want, test.want)
			}
		})
	}
	broken := plan.Item{Key: plan.Key{MAC: mac0}, Spec: plan.Spec{Address: netip.PrefixFrom(netip.MustParseAddr("192.0.2.10"), 33)}}
	if got := plan.Decide([]plan.Item{broken}, nil, node("eth1").read()).Decisions[0]; got.Obstacle != plan.SpecInvalid {
		t.Errorf("a prefix length of 33: %+v", got)
	}
}

func TestASubnetMustNotTakeOverWhatIsTheNodes(t *testing.T) {
	for _, test := range []struct {
		name, address string
		change        func(*model)
		want          string
	}{
		{"the node's subnet", "192.0.2.10/24", nil, ""},
		{"a VIP in the node's subnet", "192.0.2.10/24", func(m *model) { m.link(2).Addresses = append(m.link(2).Addresses, near("192.0.2.100/32")) }, ""},
		{"another subnet", "198.51.100.10/24", nil, ""},
		{"around the node's address", "192.0.2.10/25", nil,
			"192.0.2.0/25 contains 192.0.2.5, an address of eth0, without being its subnet (192.0.2.0/24): correct the address or the subnet mask"},
		{"beside the node's address", "192.0.2.130/25", nil, ""},
		{"around its gateway", "203.0.113.10/24", func(m *model) { m.kernel.Routes[0].Via = netip.MustParseAddr("203.0.113.1") },
			"203.0.113.0/24 contains 203.0.113.1, the node's own default gateway, without being its subnet: correct the address or the subnet mask"},
		{"around the gateway of another table", "203.0.113.10/24", func(m *model) {
			m.kernel.Routes[0].Via, m.kernel.Routes[0].Table = netip.MustParseAddr("203.0.113.1"), 77
		}, ""},
		{"around the next hop of a lesser route", "203.0.113.10/24", func(m *model) {
			m.kernel.Routes[0].Via, m.kernel.Routes[0].To = netip.MustParseAddr("203.0.113.1"), netip.MustParsePrefix("10.0.0.0/8")
		}, ""},
		{"a default route that somebody put on our NIC", "203.0.113.10/24", func(m *model) {
			m.kernel.Routes[0].Via, m.kernel.Routes[0].Link = netip.MustParseAddr("203.0.113.1"), 3
		}, ""},
		{"the node's address", "192.0.2.5/24", nil, "192.0.2.5 is an address of eth0, which is not multinic's: choose another"},
		{"the node's address as a /32", "192.0.2.5/32", nil, "192.0.2.5 is an address of eth0, which is not multinic's: choose another"},
		{"an address of one of ours that stays", "198.51.100.77/24", func(m *model) { m.link(4).Addresses = []plan.Address{near("198.51.100.77/24")} },
			"198.51.100.77 is the address of multinic1, which keeps it: choose another, or give that NIC another first"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := node("multinic0", "multinic1")
			if test.change != nil {
				test.change(m)
			}
			claims := plan.Claims{mac0: nic("multinic0"), mac1: nic("multinic1")}
			got := plan.Decide([]plan.Item{item(mac0, test.address, "", 0)}, claims, m.read()).Decisions[0]
			want := plan.None
			if test.want != "" {
				want = plan.SubnetConflict
			}
			if got.Obstacle != want || got.Message != test.want || got.Name != "multinic0" {
				t.Errorf("obstacle %d, name %q, message\n%s\nwant %d\n%s", got.Obstacle, got.Name, got.Message, want, test.want)
			}
		})
	}
}

// TestOfTwoWithOneAddressOneWins has the second on a NIC that is there, and has the address already where the first is claimed.
// TestNobodyIsReachedByADetour has the API server behind the node's default gateway (of the link with index 2).
func TestNobodyIsReachedByADetour(t *testing.T) {
	byDefault := plan.Path{Link: 2, Source: netip.MustParseAddr("192.0.2.5"), Via: netip.MustParseAddr("192.0.2.1")}
	const takesIn = "203.0.113.0/24 takes in 203.0.113.6, the address of the API server, which the node reaches by its default route: " +
		"correct the address, the subnet mask or the gateway"
	for _, test := range []struct {
		name, address, gateway string
		path                   plan.Path
		change                 func(*model)
		want                   string
	}{
		{"around it", "203.0.113.77/24", "", byDefault, nil, takesIn},
		{"beside it", "203.0.113.177/25", "", byDefault, nil, ""},
		{"its own address as the gateway of a subnet of one", "198.51.100.7/32", "203.0.113.6", byDefault, nil,
			strings.Replace(takesIn, "203.0.113.0/24", "203.0.113.6/32", 1)},
		{"a subnet of one with no gateway", "203.0.113.77/32", "", byDefault, nil, ""},
		{"a closer route of main, which wins", "203.0.113.77/24", "", byDefault, func(m *model) {
			m.kernel.Routes = append(m.kernel.Routes, plan.Route{Table: 254, To: netip.MustParsePrefix("203.0.113.6/32"), Via: byDefault.Via, Link: 2})
		}, ""},
		{"a rule that leads elsewhere before", "203.0.113.77/24", "", plan.Path{Link: 9}, nil, ""},
		{"by our NIC itself", "203.0.113.77/24", "", plan.Path{Link: 3}, nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := node("multinic0")
			if test.change != nil {
				test.change(m)
			}
			kernel := m.read()
			kernel.Ways = []plan.Way{{Name: "the API server", Address: netip.MustParseAddr("203.0.113.6"), Path: test.path}}
			got := plan.Decide([]plan.Item{item(mac0, test.address, test.gateway, 0)}, plan.Claims{mac0: nic("multinic0")}, kernel).Decisions[0]
			if got.Message != test.want || (got.Obstacle == plan.SubnetConflict) != (test.want != "") {
				t.Errorf("obstacle %d, message\n%s\nwant\n%s", got.Obstacle, got.Message, test.want)
			}
		})
	}
}

func TestOfTwoWithOneAddressOneWins(t *testing.T) {
	first, second := item(mac0, "198.51.100.10/24", "", 0), item(mac1, "198.51.100.10/25", "", 0)
	for _, test := range []struct {
		name  string
		items []plan.Item
		want  []plan.Obstacle
	}{
		{"two, of which the first goes before", []plan.Item{first, second}, []plan.Obstacle{plan.None, plan.SubnetConflict}},
		{"the first has no NIC yet", []plan.Item{item(mac2, "198.51.100.10/24", "", 0), second}, []plan.Obstacle{plan.LinkNotFound, plan.None}},
		{"the first could never have it", []plan.Item{item(mac0, "198.51.100.10/24", "198.51.101.1", 0), second}, []plan.Obstacle{plan.SpecInvalid, plan.None}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for i, got := range plan.Decide(test.items, nil, node("eth1", "eth2").read()).Decisions {
				if got.Obstacle != test.want[i] {
					t.Errorf("item %d has obstacle %d, not %d: %s", i, got.Obstacle, test.want[i], got.Message)
				}
			}
		})
	}
	m := node("eth1", "eth2")
	claims := carryOut(t, m, second)
	p := plan.Decide([]plan.Item{first, second}, claims, m.read())
	if p.Decisions[0].Obstacle != plan.SubnetConflict || p.Decisions[1].Obstacle != plan.None || len(changesOf(p)) > 0 {
		t.Errorf("the second has it already, and yet: %+v", p.Decisions)
	}
}

// TestALongListOfUsesIsCut keeps messages readable on a node with many routes.
func TestALongListOfUsesIsCut(t *testing.T) {
	m := node("eth1")
	for i := range 300 {
		to := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i / 256), byte(i), 0}), 24)
		m.kernel.Routes = append(m.kernel.Routes, plan.Route{Table: 254, To: to, Link: 3, Protocol: 3})
	}
	golden(t, plan.Decide([]plan.Item{item(mac0, "", "", 0)}, nil, m.read()),
		mac0+": eth1 ("+mac0+") is in use by something else: it has the route 10.0.0.0/24, the route 10.0.1.0/24, the route 10.0.2.0/24 and 297 more;"+
			" free the NIC first, or delete its row\n")
}
