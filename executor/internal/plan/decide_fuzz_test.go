package plan_test

import (
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"multinic.dev/executor/internal/plan"
)

// FuzzDecide: whatever there is in a kernel, on disk and in a set, a plan touches nothing that is not ours.
func FuzzDecide(f *testing.F) {
	f.Fuzz(rapid.MakeFuzz(touchesNothingForeign))
}

func TestAPlanTouchesNothingForeignInAnyKernel(t *testing.T) {
	for range 10 { // What is rare in any kernel, two NICs with one MAC for one, is met once in some hundred.
		rapid.Check(t, touchesNothingForeign)
	}
}

func touchesNothingForeign(t *rapid.T) {
	items, claims, kernel := anyItems(t), anyClaims(t), anyKernel(t)
	itemsBefore, claimsBefore, kernelBefore := slices.Clone(items), maps.Clone(claims), cloned(kernel)
	p := plan.Decide(items, claims, kernel)
	if again := plan.Decide(items, claims, kernel); !reflect.DeepEqual(p, again) {
		t.Errorf("decided\n%+v\nand then\n%+v", p, again)
	}
	if !reflect.DeepEqual(items, itemsBefore) || !reflect.DeepEqual(claims, claimsBefore) || !reflect.DeepEqual(kernel, kernelBefore) {
		t.Error("what was decided upon has been changed")
	}
	ours, names := map[int]bool{}, map[string]bool{"": true}
	cards, named := map[int]string{}, map[string]bool{}
	for i, decision := range p.Decisions {
		if decision.Item != items[i] || (decision.Obstacle == plan.None) != (decision.Message == "") || decision.Obstacle != plan.None && len(decision.Changes) > 0 {
			t.Errorf("decision %+v on %+v", decision, items[i])
		}
		if len(decision.Message) > 1024 || strings.Contains(decision.Message, "\n") {
			t.Errorf("the message %q", decision.Message)
		}
		plan.Observe(kernel, decision.Link, decision.Name)
		if decision.Obstacle != plan.None {
			continue
		}
		isVLAN := decision.Item.Key.VLAN != 0
		twice := ours[decision.Link] && decision.Link != 0 && cards[decision.Link] != decision.Item.Key.MAC || named[decision.Name]
		if _, ok := plan.Number(decision.NIC); !ok || twice || !canBe(kernel, claims, decision) || plan.NameOf(decision.NIC, decision.Item.Key.VLAN) != decision.Name {
			t.Errorf("%d on %d becomes %q for %+v in %+v", decision.Link, decision.Card, decision.Name, decision.Item, kernel.Links)
		}
		if isVLAN && decision.Link != 0 && !isVLANOf(kernel, decision) {
			t.Errorf("%d is not the VLAN of %+v in %+v", decision.Link, decision.Item, kernel.Links)
		}
		ours[decision.Link], ours[decision.Card], cards[decision.Card] = decision.Link != 0, true, decision.Item.Key.MAC
		names[decision.Name], names[decision.NIC], named[decision.Name] = true, true, true
	}
	for _, link := range kernel.Links { // A VLAN that has the name of a wanted one, and another id, gives way.
		if link.Kind == "vlan" && ours[link.Lower] && names[link.Name] {
			ours[link.Index] = true
		}
	}
	for _, change := range changesOf(p) {
		if change.String() == "" || !isWithin(change, ours, names) {
			t.Errorf("%s (%+v) with ours %v, %v", change, change, ours, names)
		}
	}
}

// canBe says whether a link can be the NIC of a decision: it alone has the MAC, it belongs to no other link, and it is ours on disk
// or bare.
func canBe(kernel plan.Kernel, claims plan.Claims, decision plan.Decision) bool {
	var found []plan.Link
	for _, link := range kernel.Links {
		if link.MAC == decision.Item.Key.MAC && !link.Loopback && (link.Kind == "" || link.Kind == "veth") {
			found = append(found, link)
		}
	}
	if len(found) != 1 || found[0].Index != decision.Card || found[0].Master != 0 {
		return false
	}
	if _, claimed := claims[decision.Item.Key.MAC]; claimed {
		return true
	}

	return !slices.ContainsFunc(found[0].Addresses, func(a plan.Address) bool { return !a.LinkLocal }) &&
		!slices.ContainsFunc(kernel.Routes, func(r plan.Route) bool { return r.Link == decision.Card }) &&
		!slices.ContainsFunc(kernel.Links, func(l plan.Link) bool { return l.Lower == decision.Card })
}

// isVLANOf says whether a decision's link is the VLAN that it is for.
func isVLANOf(kernel plan.Kernel, decision plan.Decision) bool {
	return slices.ContainsFunc(kernel.Links, func(l plan.Link) bool {
		return l.Index == decision.Link && l.Kind == "vlan" && l.Lower == decision.Card && l.VLAN == decision.Item.Key.VLAN
	})
}

// isWithin says whether a change is of what is ours.
func isWithin(change plan.Change, ours map[int]bool, names map[string]bool) bool {
	switch c := change.(type) {
	case plan.Rename:
		return ours[c.Link] && (names[c.To] || strings.HasPrefix(c.To, "multi-"))
	case plan.SetUp:
		return ours[c.Link] && names[c.Name]
	case plan.AddVLAN:
		return ours[c.Card] && names[c.CardName] && names[c.Name]
	case plan.RemoveVLAN:
		return ours[c.Link] && names[c.Name]
	case plan.SetMTU:
		return ours[c.Link] && names[c.Name]
	case plan.Set:
		parts := strings.Split(c.Path, "/")

		return len(parts) == 4 && parts[2] != "" && names[parts[2]]
	case plan.AddAddress:
		return ours[c.Link] && names[c.Name]
	case plan.RemoveAddress:
		return ours[c.Link] && names[c.Name]
	case plan.AddRoute:
		return ours[c.Route.Link] && plan.IsOurTable(c.Route.Table) && c.Route.Protocol == plan.Protocol
	case plan.RemoveRoute:
		return ours[c.Route.Link] || plan.IsOurTable(c.Route.Table)
	case plan.AddRule:
		return plan.IsOurPreference(c.Rule.Preference) && c.Rule.Protocol == plan.Protocol && !c.Rule.Other
	case plan.RemoveRule:
		return !c.Rule.Other && (plan.IsOurTable(c.Rule.Table) || c.Rule.Protocol == plan.Protocol && plan.IsOurPreference(c.Rule.Preference))
	}

	return false
}

func cloned(kernel plan.Kernel) plan.Kernel {
	kernel.Links, kernel.Routes, kernel.Rules = slices.Clone(kernel.Links), slices.Clone(kernel.Routes), slices.Clone(kernel.Rules)
	for i := range kernel.Links {
		kernel.Links[i].Addresses, kernel.Links[i].Settings = slices.Clone(kernel.Links[i].Addresses), maps.Clone(kernel.Links[i].Settings)
	}

	return kernel
}

// The pools have what is usual and what is not, and few of each, so that things meet.
func oneOf[T any](t *rapid.T, label string, all ...T) T { return rapid.SampledFrom(all).Draw(t, label) }

func anyMACs() []string {
	return []string{"02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03", "02:00:00:00:00:04", "ff:ff:ff:ff:ff:ff", ""}
}

func anyMAC(t *rapid.T) string { return oneOf(t, "mac", anyMACs()...) }

func anyNames() []string {
	return []string{"eth0", "eth1", "eth2", "multinic0", "multinic1", "multinic9", "multinic10", "multinic0.7", "multi-8", "x\xff"}
}

func anyAddress(t *rapid.T) netip.Addr {
	texts := []string{
		"192.0.2.10", "192.0.2.11", "192.0.2.1", "192.0.2.0", "198.51.100.10", "0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "fe80::1", "::ffff:192.0.2.10", "",
	}
	address, _ := netip.ParseAddr(rapid.SampledFrom(texts).Draw(t, "address")) // Of no text there is no address.

	return address
}

func anyPrefix(t *rapid.T) netip.Prefix {
	return netip.PrefixFrom(anyAddress(t), oneOf(t, "bits", 24, 24, 25, 32, 31, 8, 7, 0, -1, 33, 64, 128))
}

func anyIndex(t *rapid.T) int { return rapid.IntRange(-1, 8).Draw(t, "index") }

func anyNumber(t *rapid.T) int {
	return oneOf(t, "number", 0, 1, 2, 4, 67, 77, 109, 254, 1500, 4097, 25000, 25001, 25002, 32764, 32765, 65536, 0x6d6dffff, 0x6d6e0000, 0x6d6e0007, 0x6d6e1000, 0x6d6e9000,
		0x6d6ea000, -1)
}

// usual is a spec that an interface can have, of which several can be in each other's way.
func usual(t *rapid.T) plan.Spec {
	address := netip.MustParseAddr(oneOf(t, "usual", "192.0.2.10", "192.0.2.11", "198.51.100.10", "198.51.100.11"))
	spec := plan.Spec{Address: netip.PrefixFrom(address, oneOf(t, "usual bits", 24, 25, 16)), MTU: oneOf(t, "usual mtu", 0, 1400)}
	if rapid.Bool().Draw(t, "routed") {
		spec.Gateway = spec.Address.Masked().Addr().Next()
	}

	return spec
}

func anyItems(t *rapid.T) []plan.Item {
	var items []plan.Item
	for range rapid.IntRange(0, 5).Draw(t, "items") {
		item := plan.Item{Key: plan.Key{MAC: anyMAC(t)}, Spec: usual(t)}
		if rapid.IntRange(0, 4).Draw(t, "odd") == 0 {
			item.Key.VLAN = oneOf(t, "vlan", 0, 7, 7, 4095, -1)
			item.Spec = plan.Spec{Address: anyPrefix(t), Gateway: anyAddress(t), MTU: oneOf(t, "mtu", 0, 68, 1500, 65536, -1)}
		}
		items = append(items, item)
	}

	return items
}

// anyClaims are what the state file can have: no two NICs share a name there.
func anyClaims(t *rapid.T) plan.Claims {
	claims := plan.Claims{}
	names := rapid.Permutation([]string{"multinic0", "multinic1", "multinic9", "multinic10", "eth0", ""}).Draw(t, "claimed names")
	for i, mac := range anyMACs() {
		if rapid.Bool().Draw(t, "claimed") {
			claims[mac] = plan.Claim{Name: names[i], VLANs: oneOf(t, "vlans", []int{0}, []int{0}, []int{7}, []int{0, 7}, nil)}
		}
	}

	return claims
}

// anyKernel has links with indices and names of their own; the rest is as it comes.
func anyKernel(t *rapid.T) plan.Kernel {
	var kernel plan.Kernel
	names, macs := rapid.Permutation(anyNames()).Draw(t, "names"), rapid.Permutation(anyMACs()).Draw(t, "macs")
	for i := range rapid.IntRange(0, 6).Draw(t, "links") {
		link := plan.Link{
			Index: i + 1, Name: names[i], MAC: macs[i], Kind: oneOf(t, "kind", "", "", "veth", "veth", "vlan"), Loopback: rapid.IntRange(0, 9).Draw(t, "loopback") == 0,
			Master: max(0, anyIndex(t)-7), Lower: max(0, anyIndex(t)-7), MTU: anyNumber(t), Up: rapid.Bool().Draw(t, "up"),
		}
		if rapid.IntRange(0, 4).Draw(t, "twice") == 0 {
			link.MAC = anyMAC(t)
		}
		if link.Kind == "vlan" {
			link.VLAN = oneOf(t, "id", 7, 8)
			if rapid.Bool().Draw(t, "on a card") && i > 0 {
				link.Lower, link.MAC = 1, kernel.Links[0].MAC
			}
		}
		for range max(0, rapid.IntRange(-3, 3).Draw(t, "addresses")) {
			prefix := usual(t).Address
			if rapid.Bool().Draw(t, "odd") {
				prefix = anyPrefix(t)
			}
			link.Addresses = append(link.Addresses, plan.Address{
				Prefix: prefix, Peer: anyAddress(t), LinkLocal: rapid.Bool().Draw(t, "local"), NoPrefixRoute: rapid.Bool().Draw(t, "noprefixroute"),
			})
		}
		if rapid.Bool().Draw(t, "settings") {
			link.Settings = map[string]string{"ipv4/conf/%s/arp_ignore": "1", "ipv4/conf/%s/rp_filter": "\xff"}
		}
		kernel.Links = append(kernel.Links, link)
	}
	for range rapid.IntRange(0, 6).Draw(t, "routes") {
		kernel.Routes = append(kernel.Routes, plan.Route{
			Table: anyNumber(t), To: anyPrefix(t).Masked(), Via: anyAddress(t), Source: anyAddress(t), Link: anyIndex(t), Metric: anyNumber(t), Protocol: anyNumber(t),
			Multipath: rapid.Bool().Draw(t, "multipath"),
		})
	}
	for range rapid.IntRange(0, 6).Draw(t, "rules") {
		kernel.Rules = append(kernel.Rules, plan.Rule{
			Preference: anyNumber(t), From: netip.PrefixFrom(usual(t).Address.Addr(), oneOf(t, "from", 32, 24, -1)), Table: anyNumber(t), WithoutDefault: rapid.Bool().Draw(t, "suppress"), Protocol: anyNumber(t),
			Other: rapid.Bool().Draw(t, "other"),
		})
	}

	return kernel
}
