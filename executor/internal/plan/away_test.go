package plan_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"multinic.dev/executor/internal/plan"
)

// unplug takes a link away, as a kernel does: with its addresses and routes, and without its rules.
func (m *model) unplug(link int) {
	m.kernel.Links = slices.DeleteFunc(m.kernel.Links, func(l plan.Link) bool { return l.Index == link })
	m.kernel.Routes = slices.DeleteFunc(m.kernel.Routes, func(r plan.Route) bool { return r.Link == link })
}

// TestTheRulesOfACardThatIsAwayGo whoever has made them, and no others.
func TestTheRulesOfACardThatIsAwayGo(t *testing.T) {
	for _, protocol := range []int{plan.Protocol, 4} {
		t.Run(fmt.Sprint("protocol ", protocol), func(t *testing.T) {
			m := node("eth1", "eth2")
			items := []plan.Item{item(mac0, "198.51.100.10/24", "198.51.100.1", 0), item(mac1, "203.0.113.10/24", "", 0)}
			claims := carryOut(t, m, items...)
			for i := range m.kernel.Rules {
				if rule := &m.kernel.Rules[i]; rule.Protocol == plan.Protocol {
					rule.Protocol = protocol
				}
			}
			foreign := []plan.Rule{
				{Preference: 25000, From: netip.MustParsePrefix("198.51.100.10/32"), Table: 1835925504, Protocol: 80},
				{Preference: 25001, From: netip.MustParsePrefix("198.51.100.10/32"), Table: 254, Protocol: 80},
				{Preference: 100, From: netip.MustParsePrefix("198.51.100.10/32"), Table: 1835925504, Protocol: protocol},
				{Preference: 25002, From: netip.MustParsePrefix("198.51.100.10/32"), Table: 1835925504, Protocol: protocol, Other: true},
			}
			m.kernel.Rules = append(m.kernel.Rules, foreign...)
			if changes := plan.Away(claims, m.read()); len(changes) > 0 {
				t.Errorf("while it is there: %v", changes)
			}
			m.unplug(3)
			suffix := map[int]string{plan.Protocol: " proto 109", 4: " proto static"}[protocol]
			want := "rule delete pref 25001 from 198.51.100.10 lookup main suppress_prefixlength 0" + suffix + "\n" +
				"rule delete pref 25000 from 198.51.100.10 lookup 1835925504 suppress_prefixlength 0" + suffix + "\n" +
				"rule delete pref 25002 from 198.51.100.10 lookup 1835925504" + suffix + "\n"
			if got := text(plan.Away(claims, m.read())); got != want {
				t.Errorf("changes are\n%s\nwant\n%s", got, want)
			}
			made(t, m, plan.Plan{Shared: plan.Away(claims, m.read())})
			if left := plan.Away(claims, m.read()); len(left) > 0 {
				t.Errorf("left are %v", left)
			}
			for _, rule := range foreign {
				if !slices.Contains(m.kernel.Rules, rule) {
					t.Errorf("a foreign rule has gone: %+v", rule)
				}
			}
			if changes := plan.Decide(items[1:], claims, m.read()).Decisions[0].Changes; len(changes) > 0 {
				t.Errorf("the other card now needs %v", changes)
			}
		})
	}
}

// TestWhoeverHasTheAddressOfACardThatIsAwayKeepsItsRules but not those that lead where the other's traffic went.
func TestWhoeverHasTheAddressOfACardThatIsAwayKeepsItsRules(t *testing.T) {
	m := node("eth1", "eth2")
	claims := carryOut(t, m, item(mac0, "198.51.100.10/24", "", 0), item(mac1, "203.0.113.10/24", "", 0))
	m.unplug(3)
	taking := []plan.Item{item(mac1, "198.51.100.10/24", "", 0)}
	made(t, m, plan.Decide(taking, claims, m.read()))
	want := "rule delete pref 25000 from 198.51.100.10 lookup 1835925504 suppress_prefixlength 0 proto 109\n" +
		"rule delete pref 25002 from 198.51.100.10 lookup 1835925504 proto 109\n"
	if got := text(plan.Away(claims, m.read())); got != want {
		t.Errorf("changes are\n%s\nwant\n%s", got, want)
	}
	made(t, m, plan.Plan{Shared: plan.Away(claims, m.read())})
	if changes := plan.Decide(taking, claims, m.read()).Decisions[0].Changes; len(changes) > 0 {
		t.Errorf("the card that has it now needs %v", changes)
	}
}
