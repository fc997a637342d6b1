package plan_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"multinic.dev/executor/internal/plan"
)

const (
	mac0 = "02:00:00:00:00:01"
	mac1 = "02:00:00:00:00:02"
	mac2 = "02:00:00:00:00:03"
)

// node is a kernel with eth0, by which the node is reached, and bare NICs with the given names, indexes from 3 on and
// the MACs mac0, mac1 and so on.
func node(names ...string) *model {
	m := &model{settings: map[int]map[string]string{}}
	m.kernel.Links = []plan.Link{
		{Index: 1, Name: "lo", Loopback: true, Up: true, MTU: 65536, Addresses: []plan.Address{{Prefix: netip.MustParsePrefix("127.0.0.1/8")}}},
		{Index: 2, Name: "eth0", MAC: "02:00:00:00:00:10", Up: true, MTU: 1500, Addresses: []plan.Address{near("192.0.2.5/24")}},
	}
	m.kernel.Routes = []plan.Route{
		{Table: 254, To: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("192.0.2.1"), Link: 2, Metric: 100, Protocol: 16},
		{Table: 254, To: netip.MustParsePrefix("192.0.2.0/24"), Link: 2, Metric: 100, Protocol: 16},
	}
	m.kernel.Rules = []plan.Rule{{Preference: 0, Table: 255, Protocol: 2}, {Preference: 32766, Table: 254, Protocol: 2}, {Preference: 32767, Table: 253, Protocol: 2}}
	for i, name := range names {
		m.kernel.Links = append(m.kernel.Links, plan.Link{Index: 3 + i, Name: name, MAC: "02:00:00:00:00:0" + string(rune('1'+i)), Kind: "veth", MTU: 1500})
		m.settings[3+i] = map[string]string{
			"ipv4/conf/%s/arp_ignore": "0", "ipv4/conf/%s/arp_announce": "0", "ipv4/conf/%s/rp_filter": "0", "ipv6/conf/%s/accept_ra": "1",
		}
	}
	return m
}

// item is what a row with an address such as "192.0.2.10/24", or none, and a gateway, or none, asks for.
func item(mac, address, gateway string, mtu int) plan.Item {
	one := plan.Item{Key: plan.Key{MAC: mac}, Spec: plan.Spec{MTU: mtu}}
	if address != "" {
		one.Spec.Address = netip.MustParsePrefix(address)
	}
	if gateway != "" {
		one.Spec.Gateway = netip.MustParseAddr(gateway)
	}
	return one
}

// carryOut makes a kernel what items ask for and returns the claims.
func carryOut(t *testing.T, m *model, items ...plan.Item) plan.Claims {
	t.Helper()
	claims := plan.Claims{}
	p := plan.Decide(items, claims, m.read())
	for _, decision := range p.Decisions {
		if decision.Obstacle != plan.None {
			t.Fatalf("%s: %s", decision.Item.Key.MAC, decision.Message)
		}
		claims[decision.Item.Key.MAC] = nic(decision.Name)
	}
	for _, change := range changesOf(p) {
		if err := m.apply(change); err != nil {
			t.Fatal(err)
		}
	}
	if left := changesOf(plan.Decide(items, claims, m.read())); len(left) != 0 {
		t.Fatalf("the kernel is not yet what was asked for:\n%s", text(left))
	}
	return claims
}

func golden(t *testing.T, p plan.Plan, want string) {
	t.Helper()
	var got strings.Builder
	for _, decision := range p.Decisions {
		if decision.Obstacle != plan.None {
			got.WriteString(decision.Item.Key.MAC + ": " + decision.Message + "\n")
		}
		got.WriteString(text(decision.Changes))
	}
	got.WriteString(text(p.Shared))
	if got.String() != strings.TrimPrefix(want, "\n") {
		t.Errorf("the plan is\n%s\nwant\n%s", got.String(), want)
	}
}

func TestNICsAreConfiguredFromTheBeginning(t *testing.T) {
	p := plan.Decide([]plan.Item{item(mac0, "192.0.2.10/24", "192.0.2.1", 1400), item(mac1, "", "", 0)}, nil, node("eth1", "eth2").read())
	golden(t, p, `
link set eth1 name multinic0
link set multinic0 mtu 1400
sysctl net/ipv4/conf/multinic0/arp_ignore=1
sysctl net/ipv4/conf/multinic0/arp_announce=2
sysctl net/ipv4/conf/multinic0/rp_filter=2
sysctl net/ipv6/conf/multinic0/accept_ra=0
link set multinic0 up
address add 192.0.2.10/24 dev multinic0 noprefixroute
route replace 192.0.2.0/24 dev multinic0 table 1835925504 proto 109 scope link src 192.0.2.10
route replace default via 192.0.2.1 dev multinic0 table 1835925504 proto 109 src 192.0.2.10 onlink
route replace 192.0.2.0/24 dev multinic0 table 1835925503 proto 109 scope link src 192.0.2.10 metric 1
rule add pref 25000 from 192.0.2.10 lookup 1835925504 suppress_prefixlength 0 proto 109
rule add pref 25001 from 192.0.2.10 lookup main suppress_prefixlength 0 proto 109
rule add pref 25002 from 192.0.2.10 lookup 1835925504 proto 109
link set eth2 name multinic1
sysctl net/ipv4/conf/multinic1/arp_ignore=1
sysctl net/ipv4/conf/multinic1/arp_announce=2
sysctl net/ipv4/conf/multinic1/rp_filter=2
sysctl net/ipv6/conf/multinic1/accept_ra=0
link set multinic1 up
rule add pref 32764 from all lookup main suppress_prefixlength 0 proto 109
rule add pref 32765 from all lookup 1835925503 proto 109
`)
	want := []plan.Decision{{Name: "multinic0", Link: 3}, {Name: "multinic1", Link: 4}}
	for i, decision := range p.Decisions {
		if decision.Name != want[i].Name || decision.Link != want[i].Link || decision.Obstacle != plan.None || decision.Message != "" {
			t.Errorf("decision %d is %+v", i, decision)
		}
	}
}

// TestWhatChangesInASpecChangesAndNothingElse has a second interface that nothing may happen to.
func TestWhatChangesInASpecChangesAndNothingElse(t *testing.T) {
	other := item(mac1, "192.0.2.11/24", "192.0.2.1", 0)
	for _, test := range []struct {
		name     string
		from, to plan.Item
		want     string
	}{
		{"nothing", item(mac0, "192.0.2.10/24", "192.0.2.1", 1400), item(mac0, "192.0.2.10/24", "192.0.2.1", 1400), ""},
		{"mtu", item(mac0, "192.0.2.10/24", "", 1400), item(mac0, "192.0.2.10/24", "", 1300), `
link set multinic0 mtu 1300
`},
		{"no mtu", item(mac0, "192.0.2.10/24", "", 1400), item(mac0, "192.0.2.10/24", "", 0), ""},
		{"gateway", item(mac0, "192.0.2.10/24", "192.0.2.1", 0), item(mac0, "192.0.2.10/24", "192.0.2.254", 0), `
route replace default via 192.0.2.254 dev multinic0 table 1835925504 proto 109 src 192.0.2.10 onlink
`},
		{"no gateway", item(mac0, "192.0.2.10/24", "192.0.2.1", 0), item(mac0, "192.0.2.10/24", "", 0), `
route delete default via 192.0.2.1 dev multinic0 table 1835925504 proto 109 src 192.0.2.10 onlink
`},
		{"address in the subnet", item(mac0, "192.0.2.10/24", "192.0.2.1", 0), item(mac0, "192.0.2.12/24", "192.0.2.1", 0), `
address delete 192.0.2.10/24 dev multinic0
address add 192.0.2.12/24 dev multinic0 noprefixroute
route replace 192.0.2.0/24 dev multinic0 table 1835925504 proto 109 scope link src 192.0.2.12
route replace default via 192.0.2.1 dev multinic0 table 1835925504 proto 109 src 192.0.2.12 onlink
route replace 192.0.2.0/24 dev multinic0 table 1835925503 proto 109 scope link src 192.0.2.12 metric 1
rule add pref 25000 from 192.0.2.12 lookup 1835925504 suppress_prefixlength 0 proto 109
rule add pref 25001 from 192.0.2.12 lookup main suppress_prefixlength 0 proto 109
rule add pref 25002 from 192.0.2.12 lookup 1835925504 proto 109
rule delete pref 25000 from 192.0.2.10 lookup 1835925504 suppress_prefixlength 0 proto 109
rule delete pref 25001 from 192.0.2.10 lookup main suppress_prefixlength 0 proto 109
rule delete pref 25002 from 192.0.2.10 lookup 1835925504 proto 109
`},
		{"address elsewhere", item(mac0, "192.0.2.10/24", "192.0.2.1", 0), item(mac0, "198.51.100.10/24", "198.51.100.1", 0), `
address add 198.51.100.10/24 dev multinic0 noprefixroute
route replace 198.51.100.0/24 dev multinic0 table 1835925504 proto 109 scope link src 198.51.100.10
route replace default via 198.51.100.1 dev multinic0 table 1835925504 proto 109 src 198.51.100.10 onlink
route replace 198.51.100.0/24 dev multinic0 table 1835925503 proto 109 scope link src 198.51.100.10 metric 1
rule add pref 25000 from 198.51.100.10 lookup 1835925504 suppress_prefixlength 0 proto 109
rule add pref 25001 from 198.51.100.10 lookup main suppress_prefixlength 0 proto 109
rule add pref 25002 from 198.51.100.10 lookup 1835925504 proto 109
rule delete pref 25000 from 192.0.2.10 lookup 1835925504 suppress_prefixlength 0 proto 109
rule delete pref 25001 from 192.0.2.10 lookup main suppress_prefixlength 0 proto 109
rule delete pref 25002 from 192.0.2.10 lookup 1835925504 proto 109
route delete 192.0.2.0/24 dev multinic0 table 1835925504 proto 109 scope link src 192.0.2.10
route delete 192.0.2.0/24 dev multinic0 table 1835925503 proto 109 scope link src 192.0.2.10 metric 1
address delete 192.0.2.10/24 dev multinic0
`},
		{"prefix length", item(mac0, "198.51.100.10/24", "198.51.100.1", 0), item(mac0, "198.51.100.10/25", "198.51.100.1", 0), `
address add 198.51.100.10/25 dev multinic0 noprefixroute
route replace 198.51.100.0/25 dev multinic0 table 1835925504 proto 109 scope link src 198.51.100.10
route replace 198.51.100.0/25 dev multinic0 table 1835925503 proto 109 scope link src 198.51.100.10 metric 1
route delete 198.51.100.0/24 dev multinic0 table 1835925504 proto 109 scope link src 198.51.100.10
route delete 198.51.100.0/24 dev multinic0 table 1835925503 proto 109 scope link src 198.51.100.10 metric 1
address delete 198.51.100.10/24 dev multinic0
`},
		{"to a /32", item(mac0, "198.51.100.10/24", "198.51.100.1", 0), item(mac0, "198.51.100.10/32", "198.51.100.1", 0), `
address add 198.51.100.10/32 dev multinic0 noprefixroute
route replace 198.51.100.1 dev multinic0 table 1835925504 proto 109 scope link src 198.51.100.10
route replace 198.51.100.1 dev multinic0 table 1835925503 proto 109 scope link src 198.51.100.10 metric 1
route delete 198.51.100.0/24 dev multinic0 table 1835925504 proto 109 scope link src 198.51.100.10
route delete 198.51.100.0/24 dev multinic0 table 1835925503 proto 109 scope link src 198.51.100.10 metric 1
address delete 198.51.100.10/24 dev multinic0
`},
		{"no address", item(mac0, "192.0.2.10/24", "192.0.2.1", 0), item(mac0, "", "", 0), `
rule delete pref 25000 from 192.0.2.10 lookup 1835925504 suppress_prefixlength 0 proto 109
rule delete pref 25001 from 192.0.2.10 lookup main suppress_prefixlength 0 proto 109
rule delete pref 25002 from 192.0.2.10 lookup 1835925504 proto 109
route delete 192.0.2.0/24 dev multinic0 table 1835925504 proto 109 scope link src 192.0.2.10
route delete default via 192.0.2.1 dev multinic0 table 1835925504 proto 109 src 192.0.2.10 onlink
route delete 192.0.2.0/24 dev multinic0 table 1835925503 proto 109 scope link src 192.0.2.10 metric 1
address delete 192.0.2.10/24 dev multinic0
`},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := node("eth1", "eth2")
			claims := carryOut(t, m, test.from, other)
			golden(t, plan.Decide([]plan.Item{test.to, other}, claims, m.read()), test.want)
			// What is not among the items stays, though the other one's rules and routes are there.
			golden(t, plan.Decide([]plan.Item{test.to}, claims, m.read()), test.want)
		})
	}
}

func TestTheSharedRulesStandWhileAnyInterfaceHasAnAddress(t *testing.T) {
	m := node("eth1", "eth2", "eth3")
	claims := carryOut(t, m, item(mac0, "192.0.2.10/24", "", 0), item(mac1, "192.0.2.11/24", "", 0))
	// The only one among the items gives its address up; the other keeps it.
	if shared := plan.Decide([]plan.Item{item(mac0, "", "", 0)}, claims, m.read()).Shared; len(shared) != 0 {
		t.Errorf("while one has an address:\n%s", text(shared))
	}
	// One that is refused keeps its address as well.
	m.link(4).Master = 2
	if shared := plan.Decide([]plan.Item{item(mac0, "", "", 0), item(mac1, "", "", 0)}, claims, m.read()).Shared; len(shared) != 0 {
		t.Errorf("while one that is refused has an address:\n%s", text(shared))
	}
	m.link(4).Master = 0
	want := "rule delete pref 32764 from all lookup main suppress_prefixlength 0 proto 109\nrule delete pref 32765 from all lookup 1835925503 proto 109\n"
	if got := text(plan.Decide([]plan.Item{item(mac0, "", "", 0), item(mac1, "", "", 0)}, claims, m.read()).Shared); got != want {
		t.Errorf("when none has an address:\n%s\nwant\n%s", got, want)
	}
}

// TestWhoseARuleIs has rules for traffic to `main`, which do not say by their table whose they are.
func TestWhoseARuleIs(t *testing.T) {
	stray := func(from string, protocol int) plan.Rule {
		return plan.Rule{Preference: 25001, From: netip.MustParsePrefix(from), Table: 254, WithoutDefault: true, Protocol: protocol}
	}
	for _, test := range []struct {
		name string
		rule []plan.Rule
		want string
	}{
		{"nobody's, with our mark", []plan.Rule{stray("192.0.2.99/32", 109)}, "rule delete pref 25001 from 192.0.2.99 lookup main suppress_prefixlength 0 proto 109\n"},
		{"without our mark", []plan.Rule{stray("192.0.2.99/32", 4)}, ""},
		{"of an interface whose NIC is away", []plan.Rule{
			stray("192.0.2.99/32", 109), {Preference: 25002, From: netip.MustParsePrefix("192.0.2.99/32"), Table: 0x6d6e7000, Protocol: 109},
		}, ""},
		{"of a VLAN of a later version", []plan.Rule{
			stray("192.0.2.99/32", 109), {Preference: 25002, From: netip.MustParsePrefix("192.0.2.99/32"), Table: 0x6d6e0007, Protocol: 109},
		}, ""},
		{"into our table, whoever made it", []plan.Rule{{Preference: 9, Table: 0x6d6e0000, Protocol: 4}}, "rule delete pref 9 from all lookup 1835925504 proto static\n"},
		{"into our table, with conditions", []plan.Rule{{Preference: 9, Table: 0x6d6e0000, Protocol: 4, Other: true}}, ""},
		{"once more", []plan.Rule{stray("192.0.2.10/32", 109)}, "rule delete pref 25001 from 192.0.2.10 lookup main suppress_prefixlength 0 proto 109\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := node("eth1", "eth2")
			items := []plan.Item{item(mac0, "192.0.2.10/24", "", 0), item(mac1, "192.0.2.11/24", "", 0)}
			claims := carryOut(t, m, items...)
			m.kernel.Rules = append(m.kernel.Rules, test.rule...)
			golden(t, plan.Decide(items, claims, m.read()), test.want)
		})
	}
}

func TestAKernelWithoutIPv6HasNothingToSetThere(t *testing.T) {
	m := node("eth1")
	claims := carryOut(t, m, item(mac0, "", "", 0))
	delete(m.settings[3], "ipv6/conf/%s/accept_ra")
	golden(t, plan.Decide([]plan.Item{item(mac0, "", "", 0)}, claims, m.read()), "")
	m.settings[3]["ipv6/conf/%s/accept_ra"] = "2"
	golden(t, plan.Decide([]plan.Item{item(mac0, "", "", 0)}, claims, m.read()), "sysctl net/ipv6/conf/multinic0/accept_ra=0\n")
}

func TestTheOrderOfItemsIsTheOrderOfDecisions(t *testing.T) {
	items := []plan.Item{item(mac2, "", "", 0), item(mac0, "", "", 0), {Key: plan.Key{MAC: mac0, VLAN: 7}}, item(mac1, "", "", 0), item(mac0, "", "", 1400)}
	p := plan.Decide(items, nil, node("eth1", "eth2").read())
	var got []plan.Item
	var obstacles []plan.Obstacle
	for _, decision := range p.Decisions {
		got = append(got, decision.Item)
		obstacles = append(obstacles, decision.Obstacle)
	}
	if want := []plan.Obstacle{plan.LinkNotFound, plan.None, plan.None, plan.None, plan.SpecInvalid}; !slices.Equal(obstacles, want) || !slices.Equal(got, items) {
		t.Errorf("obstacles %v, want %v, of items %v", obstacles, want, got)
	}
	for i, link := range []int{0, 3, 0, 4, 3} {
		if p.Decisions[i].Link != link {
			t.Errorf("decision %d has link %d, not %d", i, p.Decisions[i].Link, link)
		}
	}
}
