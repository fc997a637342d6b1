package plan_test

import (
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"multinic.dev/executor/internal/plan"
)

// TestAnyKernelBecomesWhatItemsAskFor starts from any kernel with anything half done in it, and with foreign things
// beside it.
func TestAnyKernelBecomesWhatItemsAskFor(t *testing.T) {
	rapid.Check(t, converges)
}

func FuzzAnyKernelBecomesWhatItemsAskFor(f *testing.F) {
	f.Fuzz(rapid.MakeFuzz(converges))
}

// mostPlans is how many plans may have changes.
const mostPlans = 4

func converges(t *rapid.T) {
	m, claims, items := world(t)
	before := m.read()
	first := plan.Decide(items, claims, before)
	known := maps.Clone(claims)
	p := first
	for plans := 0; len(changesOf(p)) > 0; plans++ {
		if plans == mostPlans {
			t.Fatalf("plan %d still wants changes:\n%s", plans+1, text(changesOf(p)))
		}
		t.Logf("plan %d:\n%s", plans+1, text(changesOf(p)))
		for _, decision := range p.Decisions {
			if decision.Obstacle == plan.None {
				claim(known, decision)
			}
		}
		for _, change := range changesOf(p) {
			if err := m.apply(change); err != nil {
				t.Fatalf("the kernel refused: %v", err)
			}
		}
		p = plan.Decide(items, known, m.read())
	}
	after := m.read()
	for i, decision := range p.Decisions {
		if was := first.Decisions[i]; was.Obstacle != decision.Obstacle || was.Name != decision.Name && decision.Obstacle == plan.None || was.Link != decision.Link && was.Link != 0 {
			t.Errorf("the decision\n%+v\nhas become\n%+v", was, decision)
		}
		checkDecision(t, decision, known, after)
	}
	for mac, claim := range claims {
		if known[mac].Name != claim.Name {
			t.Errorf("%s was %s and has become %s", mac, claim.Name, known[mac].Name)
		}
	}
	if got, want := foreign(after, p, claims), foreign(before, p, claims); !reflect.DeepEqual(got, want) {
		t.Errorf("what is not ours was\n%v\nand has become\n%v", want, got)
	}
}

// claim writes down that a decision is carried out.
func claim(claims plan.Claims, decision plan.Decision) {
	had := claims[decision.Item.Key.MAC].VLANs
	if !slices.Contains(had, decision.Item.Key.VLAN) {
		claims[decision.Item.Key.MAC] = plan.Claim{Name: decision.NIC, VLANs: append(slices.Clone(had), decision.Item.Key.VLAN)}
	}
}

// checkDecision checks the little that can be said without knowing the layout; the oracle knows it.
func checkDecision(t *rapid.T, decision plan.Decision, claims plan.Claims, kernel plan.Kernel) {
	if decision.Obstacle != plan.None {
		if decision.Message == "" || len(decision.Changes) > 0 || decision.Item.Key.VLAN == 0 && decision.Name != claims[decision.Item.Key.MAC].Name {
			t.Errorf("a refusal without a message, or with changes or a name: %+v", decision)
		}
		return
	}
	i := slices.IndexFunc(kernel.Links, func(l plan.Link) bool { return l.Index == decision.Link })
	link := kernel.Links[i]
	var addresses []plan.Address
	for _, address := range link.Addresses {
		if address.Prefix.Addr().Is4() || !address.LinkLocal {
			address.NoPrefixRoute = true // There may have been a route for it once, but see below.
			addresses = append(addresses, address)
		}
	}
	var want []plan.Address
	if decision.Item.Spec.Address.IsValid() {
		want = []plan.Address{near(decision.Item.Spec.Address.String())}
	}
	if link.Name != decision.Name || link.MAC != decision.Item.Key.MAC || link.VLAN != decision.Item.Key.VLAN || !link.Up || !slices.Equal(addresses, want) {
		t.Errorf("decided %+v, but the link is %+v", decision, link)
	}
	for _, route := range kernel.Routes {
		if route.Link == decision.Link && route.Table == plan.MainTable && !route.Multipath {
			t.Errorf("decided %+v, but main has %+v", decision, route)
		}
	}
}

// foreign is all that no carried out item explains.
func foreign(kernel plan.Kernel, p plan.Plan, claims plan.Claims) plan.Kernel {
	tables, metrics, links, froms := map[int]bool{}, map[int]bool{}, map[int]bool{}, map[netip.Prefix]bool{}
	for _, decision := range p.Decisions {
		if decision.Obstacle == plan.None {
			n, _ := plan.Number(decision.NIC)
			vlan := decision.Item.Key.VLAN
			tables[0x6d6e0000+n*4096+vlan] = true
			metrics[n*4096+vlan+1] = true
			links[decision.Link] = true
			links[decision.Card] = true
			tables[0x6d6e0000+n*4096] = tables[0x6d6e0000+n*4096] || !slices.Contains(claims[decision.Item.Key.MAC].VLANs, 0)
		}
	}
	kept := plan.Kernel{
		Links: slices.DeleteFunc(slices.Clone(kernel.Links), func(l plan.Link) bool { return links[l.Index] }),
		Routes: slices.DeleteFunc(slices.Clone(kernel.Routes), func(r plan.Route) bool {
			return links[r.Link] || tables[r.Table] || r.Table == 0x6d6dffff && metrics[r.Metric]
		}),
	}
	for _, link := range kept.Links {
		if _, claimed := claims[link.MAC]; claimed {
			for _, address := range link.Addresses {
				froms[netip.PrefixFrom(address.Prefix.Addr(), address.Prefix.Addr().BitLen())] = true
			}
		}
	}
	for _, rule := range kernel.Rules {
		switch {
		case isLikeAManagers(rule) && !froms[rule.From]:
			continue
		case rule.Other, rule.Protocol != 109 && !plan.IsOurTable(rule.Table), rule.Protocol == 109 && !plan.IsOurPreference(rule.Preference) && !plan.IsOurTable(rule.Table):
		case rule.Table != 0x6d6dffff && plan.IsOurTable(rule.Table) && !tables[rule.Table] && rule.Preference < 32764:
		case rule.Preference == 25001 && rule.Table == 254 && froms[rule.From]:
		default:
			continue
		}
		kept.Rules = append(kept.Rules, rule)
	}
	return kept
}

// isLikeAManagers says whether a rule looks just like what a network manager makes of what is persisted.
func isLikeAManagers(rule plan.Rule) bool {
	return rule.From.IsValid() && rule == plan.Rule{Preference: 25001, From: rule.From, Table: 254, WithoutDefault: true, Protocol: 4} ||
		rule == plan.Rule{Preference: 32764, Table: 254, WithoutDefault: true, Protocol: 4}
}

// The worlds are small, so that things meet.
func pools() (macs []string, prefixes []netip.Prefix, gateways []netip.Addr) {
	macs = []string{"02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03", "02:00:00:00:00:04"}
	for _, prefix := range []string{
		"192.0.2.10/24", "192.0.2.10/25", "192.0.2.11/24", "192.0.2.12/24", "198.51.100.10/24", "198.51.100.10/32", "203.0.113.2/31", "198.51.100.11/16",
	} {
		prefixes = append(prefixes, netip.MustParsePrefix(prefix))
	}
	for _, gateway := range []string{"192.0.2.1", "192.0.2.2", "198.51.100.1", "203.0.113.3"} {
		gateways = append(gateways, netip.MustParseAddr(gateway))
	}
	return macs, prefixes, gateways
}

// world draws a kernel, claims and items.
func world(t *rapid.T) (*model, plan.Claims, []plan.Item) {
	macs, prefixes, gateways := pools()
	m := &model{settings: map[int]map[string]string{}, promotes: rapid.Bool().Draw(t, "promotes")}
	m.kernel.Links = []plan.Link{
		{Index: 1, Name: "lo", Loopback: true, Up: true, MTU: 65536, Addresses: []plan.Address{{Prefix: netip.MustParsePrefix("127.0.0.1/8")}}},
		{Index: 2, Name: "eth0", MAC: "02:00:00:00:00:10", Up: true, MTU: 1500, Addresses: []plan.Address{near("192.0.2.5/24")}},
	}
	m.kernel.Routes = []plan.Route{{Table: 254, To: netip.MustParsePrefix("0.0.0.0/0"), Via: gateways[0], Link: 2, Metric: 100, Protocol: 16}}
	claims := plan.Claims{}
	numbers := rapid.Permutation([]int{0, 1, 2, 3}).Draw(t, "numbers")
	names := rapid.Permutation([]string{"eth1", "eth2", "multinic0", "multinic1", "multinic2", "eth3"}).Draw(t, "names")
	present := rapid.SliceOfNDistinct(rapid.IntRange(0, len(macs)-1), 0, len(macs), rapid.ID).Draw(t, "present")
	for i, mac := range macs {
		if rapid.IntRange(0, 2).Draw(t, "claimed") > 0 {
			claims[mac] = plan.Claim{Name: fmt.Sprint("multinic", numbers[i]), VLANs: rapid.SampledFrom([][]int{{0}, {0, 7}, {7}}).Draw(t, "vlans")}
		}
	}
	for i, at := range present {
		_, claimed := claims[macs[at]]
		m.kernel.Links = append(m.kernel.Links, drawLink(t, m, 3+i, macs[at], names[i], claimed))
	}
	drawRoutes(t, m, claims)
	drawRules(t, m)
	var items []plan.Item
	for _, at := range rapid.SliceOfN(rapid.IntRange(0, len(macs)-1), 0, 5).Draw(t, "items") {
		item := plan.Item{Key: plan.Key{MAC: macs[at]}}
		if rapid.IntRange(0, 3).Draw(t, "addressed") > 0 {
			item.Spec.Address = rapid.SampledFrom(prefixes).Draw(t, "address")
			if rapid.Bool().Draw(t, "routed") {
				item.Spec.Gateway = rapid.SampledFrom(gateways).Draw(t, "gateway")
			}
		}
		item.Spec.MTU = rapid.SampledFrom([]int{0, 1000, 1400, 1500}).Draw(t, "mtu")
		if rapid.IntRange(0, 2).Draw(t, "tagged") == 0 {
			item.Key.VLAN = 7
		}
		if !slices.ContainsFunc(items, func(other plan.Item) bool { return other.Key == item.Key }) {
			items = append(items, item)
		}
	}
	return m, claims, items
}

func drawLink(t *rapid.T, m *model, index int, mac, name string, claimed bool) plan.Link {
	_, prefixes, _ := pools()
	link := plan.Link{
		Index: index, Name: name, MAC: mac, Kind: rapid.SampledFrom([]string{"", "veth"}).Draw(t, "kind"),
		MTU: rapid.SampledFrom([]int{1000, 1400, 1500}).Draw(t, "mtu"), Up: rapid.Bool().Draw(t, "up"),
	}
	m.settings[index] = map[string]string{}
	for _, setting := range plan.Settings() {
		if !setting.Optional || rapid.Bool().Draw(t, "ipv6") {
			m.settings[index][setting.Path] = rapid.SampledFrom([]string{"0", setting.Value}).Draw(t, "setting")
		}
	}
	if rapid.IntRange(0, 9).Draw(t, "enslaved") == 0 {
		link.Master = 2
	}
	if !claimed && rapid.IntRange(0, 4).Draw(t, "used") > 0 {
		return link
	}
	prefixes = append(prefixes, netip.MustParsePrefix("2001:db8::1/64"), netip.MustParsePrefix("fe80::1/64"), netip.MustParsePrefix("169.254.1.1/16"))
	for _, prefix := range rapid.SliceOfNDistinct(rapid.SampledFrom(prefixes), 0, 3, rapid.ID).Draw(t, "addresses") {
		link.Addresses = append(link.Addresses, plan.Address{
			Prefix: prefix, Broadcast: broadcast(prefix), LinkLocal: prefix.Addr().IsLinkLocalUnicast(), NoPrefixRoute: rapid.Bool().Draw(t, "noprefixroute"),
		})
	}
	return link
}

func drawTable(t *rapid.T) int {
	return rapid.SampledFrom([]int{254, 254, 0x6d6e0000, 0x6d6e1000, 0x6d6e2000, 0x6d6dffff, 77}).Draw(t, "table")
}

func drawRoutes(t *rapid.T, m *model, claims plan.Claims) {
	_, prefixes, gateways := pools()
	for range rapid.IntRange(0, 6).Draw(t, "routes") {
		route := plan.Route{
			Table: drawTable(t), To: rapid.SampledFrom(prefixes).Draw(t, "to").Masked(), Link: rapid.IntRange(0, 2+len(m.kernel.Links)).Draw(t, "link"),
			Metric: rapid.SampledFrom([]int{0, 1, 4097, 8193}).Draw(t, "metric"), Protocol: rapid.SampledFrom([]int{2, 3, 109}).Draw(t, "protocol"),
			TOS: rapid.SampledFrom([]int{0, 0, 0, 16}).Draw(t, "tos"), OnLink: rapid.IntRange(0, 9).Draw(t, "onlink") == 0,
			Multipath: rapid.IntRange(0, 9).Draw(t, "multipath") == 0,
		}
		if rapid.Bool().Draw(t, "default") {
			route.To, route.Via = netip.MustParsePrefix("0.0.0.0/0"), rapid.SampledFrom(gateways).Draw(t, "via")
		}
		if rapid.Bool().Draw(t, "sourced") {
			route.Source = rapid.SampledFrom(prefixes).Draw(t, "source").Addr()
		}
		isForeign := func(l plan.Link) bool { return l.Index == route.Link && claims[l.MAC].Name == "" }
		if plan.IsOurTable(route.Table) && slices.ContainsFunc(m.kernel.Links, isForeign) {
			route.Link = 0
		}
		m.kernel.Routes = append(m.kernel.Routes, route)
	}
}

func drawRules(t *rapid.T, m *model) {
	_, prefixes, _ := pools()
	for range rapid.IntRange(0, 8).Draw(t, "rules") {
		rule := plan.Rule{
			Preference: rapid.SampledFrom([]int{25000, 25001, 25001, 25002, 32764, 32765, 77}).Draw(t, "preference"), Table: drawTable(t),
			WithoutDefault: rapid.Bool().Draw(t, "suppress"), Protocol: rapid.SampledFrom([]int{0, 4, 109, 109}).Draw(t, "protocol"),
			Other: rapid.IntRange(0, 5).Draw(t, "other") == 0,
		}
		if rapid.IntRange(0, 3).Draw(t, "from") > 0 {
			from := rapid.SampledFrom(prefixes).Draw(t, "from").Addr()
			rule.From = netip.PrefixFrom(from, 32)
		}
		m.kernel.Rules = append(m.kernel.Rules, rule)
	}
}
