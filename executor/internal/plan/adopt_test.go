package plan_test

import (
	"net/netip"
	"strings"
	"testing"

	"multinic.dev/executor/internal/plan"
)

// predecessors is a node on which the predecessor has made multinic3 of the NIC: with an address in a way that made a route in
// `main`, and a file that says so.
func predecessors() *model {
	m := persisting()
	link := m.link(3)
	link.Name, link.Up = "multinic3", true
	address := near("198.51.100.10/24")
	address.NoPrefixRoute = false
	link.Addresses = []plan.Address{address}
	m.kernel.Routes = append(m.kernel.Routes, plan.Route{
		Table: plan.MainTable, To: netip.MustParsePrefix("198.51.100.0/24"), Source: address.Prefix.Addr(), Link: 3, Protocol: 2,
	})
	m.kernel.Persisted["multinic3"] = plan.Config{
		NIC: "multinic3", MAC: mac0, Interfaces: []plan.Interface{{Spec: specOf("198.51.100.10/24", "")}}, Foreign: &plan.File{Text: "theirs", Mode: 0o644},
	}
	return m
}

func TestWhatThePredecessorMadeIsTakenOverUndisturbed(t *testing.T) {
	m := predecessors()
	before := plan.FormerOf(mac0, []string{"multinic3"}, m.readWhole())
	p := plan.Decide([]plan.Item{item(mac0, "198.51.100.10/24", "", 0)}, nil, m.read())
	if got := text(changesOf(p)); p.Decisions[0].Name != "multinic3" || strings.Contains(got, "address ") || strings.Contains(got, "link set") {
		t.Errorf("%+v, with\n%s", p.Decisions[0], got)
	}
	made(t, m, p)
	golden(t, plan.Decide([]plan.Item{item(mac0, "198.51.100.10/24", "", 0)}, plan.Claims{mac0: nic("multinic3")}, m.read()), "")
	for _, route := range m.kernel.Routes {
		if route.Link == 3 && route.Table == plan.MainTable {
			t.Errorf("in main there is still %+v", route)
		}
	}
	if is := m.kernel.Persisted["multinic3"]; is.Foreign != nil || is.MAC != mac0 {
		t.Errorf("persisted is %+v", is)
	}

	for range 3 {
		made(t, m, plan.Plan{Shared: before.Restore(m.readWhole())})
	}
	if is := m.kernel.Persisted["multinic3"]; is.Foreign == nil || *is.Foreign != (plan.File{Text: "theirs", Mode: 0o644}) {
		t.Errorf("put back, persisted is %+v", is)
	}
	if left := text(before.Restore(m.readWhole())); left != "" {
		t.Errorf("put back, there is left:\n%s", left)
	}
}

func TestWhoseRecordWasLostGoesByItsFiles(t *testing.T) {
	m := persisting()
	items := []plan.Item{item(mac0, "192.0.2.10/24", "", 0), tagged(7, "198.51.100.10/24", "")}
	claims := plan.Claims{mac0: {Name: "multinic0", VLANs: []int{0, 7}}}
	for range 2 {
		made(t, m, plan.Decide(items, claims, m.read()))
	}
	golden(t, plan.Decide(items, nil, m.read()), "")
	// What its files speak of, and no item does, stays.
	golden(t, plan.Decide(items[1:], nil, m.read()), "")
	golden(t, plan.Decide(nil, nil, m.read()), "")
	// Without the files it is in use. The control.
	m.kernel.Persisted = map[string]plan.Config{}
	for _, decision := range plan.Decide(items, nil, m.read()).Decisions {
		if decision.Obstacle != plan.LinkInUse {
			t.Errorf("without files, VLAN %d: %+v", decision.Item.Key.VLAN, decision)
		}
	}
}

func TestACardThatOthersConfigureIsRefused(t *testing.T) {
	claimed := plan.Claims{mac0: nic("multinic3")}
	bare := persisting
	for _, test := range []struct {
		name   string
		node   func() *model
		claims plan.Claims
		change func(kernel *plan.Kernel)
		want   string // in the message; empty: it is carried out
	}{
		{"the agent runs", predecessors, nil, func(k *plan.Kernel) { k.Rival = "multinic-agent (process 7)" }, "multinic-agent (process 7) configures NICs of this node: uninstall it"},
		{"the agent has come back", predecessors, claimed, func(k *plan.Kernel) { k.Rival = "multinic-agent (process 7)" }, "multinic-agent (process 7)"},
		{"the agent runs, and has not written of it", bare, nil, func(k *plan.Kernel) { k.Rival = "multinic-agent (process 7)" }, "multinic-agent (process 7)"},
		{"its default route is the node's", predecessors, nil, func(k *plan.Kernel) { k.Routes = append(k.Routes, defaultBy(0)) }, "the node's default route"},
		{"its default route is not the one that counts", predecessors, nil, func(k *plan.Kernel) {
			k.Routes = append(k.Routes, defaultBy(200))
		}, ""},
		{"its address is the node's own", predecessors, nil, func(k *plan.Kernel) { k.Own = []netip.Addr{netip.MustParseAddr("198.51.100.10")} }, "the node's own address 198.51.100.10"},
		{"a bridge has it", predecessors, nil, func(k *plan.Kernel) { k.Links[2].Master = 2 }, "the master"},
		{"a macvlan stands on it", predecessors, nil, func(k *plan.Kernel) {
			k.Links = append(k.Links, plan.Link{Index: 9, Name: "mv0", Kind: "macvlan", Lower: 3})
		}, "the upper device mv0"},
		{"another file has the MAC", predecessors, nil, func(k *plan.Kernel) {
			k.Definitions = []plan.Definition{{File: "/etc/netplan/50-cloud-init.yaml (ens5)", MAC: mac0}}
		}, "is defined by /etc/netplan/50-cloud-init.yaml (ens5)"},
		{"another file has the MAC of a bare one", bare, nil, func(k *plan.Kernel) { k.Definitions = []plan.Definition{{File: "F", MAC: mac0}} }, "is defined by F"},
		{"another file has another MAC", bare, nil, func(k *plan.Kernel) { k.Definitions = []plan.Definition{{File: "F", MAC: mac1, First: true}} }, ""},
		{"another file has its name", bare, nil, func(k *plan.Kernel) { k.Definitions = []plan.Definition{{File: "F", Names: []string{"eth1"}}} }, "is among the NICs that F is for"},
		{"another file has its name, and it is the predecessor's", predecessors, nil, func(k *plan.Kernel) {
			k.Definitions = []plan.Definition{{File: "F", Names: []string{"eth1"}}}
		}, ""},
		{"a wildcard asks for DHCP", bare, nil, func(k *plan.Kernel) {
			k.Definitions = []plan.Definition{{File: "F", Names: []string{"e*"}, DHCP: true}}
		}, "F"},
		{"a wildcard asks for nothing", bare, nil, func(k *plan.Kernel) { k.Definitions = []plan.Definition{{File: "F", Names: []string{"e*"}}} }, ""},
		{"a wildcard for others", bare, nil, func(k *plan.Kernel) {
			k.Definitions = []plan.Definition{{File: "F", Names: []string{"w*"}, DHCP: true, First: true}}
		}, ""},
		{"a wildcard would have it at the next boot", bare, nil, func(k *plan.Kernel) {
			k.Definitions = []plan.Definition{{File: "F", Names: []string{"m*"}, First: true}}
		}, "F"},
		{"a wildcard would have the predecessor's", predecessors, nil, func(k *plan.Kernel) {
			k.Definitions = []plan.Definition{{File: "F", Names: []string{"!eth0"}, First: true}}
		}, "F"},
		{"a wildcard comes later", bare, nil, func(k *plan.Kernel) { k.Definitions = []plan.Definition{{File: "F", Names: []string{"m*"}}} }, ""},
		{"two files have the MAC", predecessors, nil, func(k *plan.Kernel) {
			k.Persisted["multinic5"] = plan.Config{NIC: "multinic5", MAC: mac0, Foreign: &plan.File{Text: "too"}}
		}, "is multinic3, and the host's file for multinic5 speaks of it as well"},
		{"the record and a file have it under two names", predecessors, plan.Claims{mac0: nic("multinic5")}, func(*plan.Kernel) {},
			"is multinic5, and the host's file for multinic3 speaks of it as well"},
		{"it is on record", predecessors, claimed, func(k *plan.Kernel) { k.Definitions = []plan.Definition{{File: "F", MAC: mac0}} }, ""},
	} {
		kernel := test.node().read()
		test.change(&kernel)
		p := plan.Decide([]plan.Item{item(mac0, "198.51.100.10/24", "", 0)}, test.claims, kernel)
		decision := p.Decisions[0]
		if test.want != "" && test.claims == nil && len(p.Shared) > 0 {
			t.Errorf("%s: nothing of it is multinic's, and yet it is to\n%s", test.name, text(p.Shared))
		}
		if test.want == "" && decision.Obstacle != plan.None || test.want != "" && (decision.Obstacle != plan.LinkInUse || !strings.Contains(decision.Message, test.want)) {
			t.Errorf("%s: %v %q, want %q", test.name, decision.Obstacle, decision.Message, test.want)
		}
	}
}

// TestANICIsTakenFromTheDHCPOfAllAlike if that is asked for, and nothing else is on it.
func TestANICIsTakenFromTheDHCPOfAllAlike(t *testing.T) {
	lease := plan.Address{Prefix: netip.MustParsePrefix("10.9.0.5/24"), Broadcast: netip.MustParseAddr("10.9.0.255")}
	leased := func(route plan.Route) plan.Route { route.Link = 3; return route }
	for _, test := range []struct {
		name   string
		change func(kernel *plan.Kernel)
		want   string // in the message; empty: it is carried out
	}{
		{"by a stub", func(*plan.Kernel) {}, ""},
		{"which would also have it at the next boot", func(k *plan.Kernel) { k.Definitions[0].Names = []string{"*"} }, ""},
		{"that is not asked for", func(k *plan.Kernel) { k.TakeDHCP = false }, "it has the address 10.9.0.5/24"},
		{"by a definition for it alone", func(k *plan.Kernel) { k.Definitions[0].Names = []string{"eth1"} }, "it has the address 10.9.0.5/24"},
		{"by a stub for others", func(k *plan.Kernel) { k.Definitions[0].Names = []string{"en*"} }, "it has the address 10.9.0.5/24"},
		{"which asks for nothing", func(k *plan.Kernel) { k.Definitions[0].DHCP = false }, "it has the address 10.9.0.5/24"},
		{"with an address for good", func(k *plan.Kernel) { k.Links[2].Leased = nil }, "it has the address 10.9.0.5/24"},
		{"with a route by somebody", func(k *plan.Kernel) {
			k.Routes = append(k.Routes, leased(plan.Route{Table: plan.MainTable, To: netip.MustParsePrefix("10.8.0.0/16"), Protocol: 4}))
		}, "it has the route 10.8.0.0/16"},
		{"with a second default route", func(k *plan.Kernel) { k.Routes = append(k.Routes, defaultBy(1024)) }, ""},
		{"with the node's way to the API server", func(k *plan.Kernel) {
			k.Ways = []plan.Way{{Name: "the API server", Address: netip.MustParseAddr("10.9.0.6"), Path: plan.Path{Link: 3}}}
		}, "it has the node's way to the API server (10.9.0.6)"},
		{"with the node's own address", func(k *plan.Kernel) { k.Own = []netip.Addr{lease.Prefix.Addr()} }, "it has the node's own address 10.9.0.5"},
		{"with the node's default route", func(k *plan.Kernel) { k.Routes = append(k.Routes, defaultBy(50)) }, "it has the node's default route"},
	} {
		m := persisting()
		link := m.link(3)
		link.Up, link.Addresses, link.Leased = true, []plan.Address{lease}, []netip.Prefix{lease.Prefix}
		kernel := m.read()
		kernel.TakeDHCP, kernel.Definitions = true, []plan.Definition{{File: "F", Names: []string{"eth*"}, DHCP: true, First: true}}
		kernel.Routes = append(kernel.Routes, leased(plan.Route{Table: plan.MainTable, To: lease.Prefix.Masked(), Source: lease.Prefix.Addr(), Protocol: 2}))
		test.change(&kernel)
		decision := plan.Decide([]plan.Item{item(mac0, "198.51.100.10/24", "", 0)}, nil, kernel).Decisions[0]
		switch {
		case test.want == "" && (decision.Obstacle != plan.None || decision.Stub == nil || decision.Stub.File != "F"):
			t.Errorf("%s: %v %q, from %v", test.name, decision.Obstacle, decision.Message, decision.Stub)
		case test.want == "" && !strings.Contains(text(decision.Changes), "address delete 10.9.0.5/24 dev multinic0"):
			t.Errorf("%s: the changes are\n%s", test.name, text(decision.Changes))
		case test.want != "" && (decision.Obstacle != plan.LinkInUse || !strings.Contains(decision.Message, test.want)):
			t.Errorf("%s: %v %q, want %q", test.name, decision.Obstacle, decision.Message, test.want)
		}
	}
}

func defaultBy(metric int) plan.Route {
	return plan.Route{Table: plan.MainTable, To: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("198.51.100.1"), Link: 3, Metric: metric, Protocol: 16}
}

func TestTheNameOfAFileThatWasNotUnderstoodIsGivenToNone(t *testing.T) {
	m := persisting()
	m.kernel.Persisted["multinic0"] = plan.Config{NIC: "multinic0", Foreign: &plan.File{Text: "?"}}
	m.kernel.Persisted["multinic1"] = plan.Config{NIC: "multinic1", MAC: mac1, Foreign: &plan.File{Text: "of a NIC that is absent"}}
	if got := plan.Decide([]plan.Item{item(mac0, "", "", 0)}, nil, m.read()).Decisions[0]; got.Name != "multinic2" {
		t.Errorf("%+v", got)
	}
	for _, name := range []string{"2", "3", "4", "5", "6", "7", "8", "9"} {
		m.kernel.Persisted["multinic"+name] = plan.Config{NIC: "multinic" + name, Foreign: &plan.File{}}
	}
	got := plan.Decide([]plan.Item{item(mac0, "", "", 0)}, nil, m.read()).Decisions[0]
	if got.Obstacle != plan.NoFreeName || !strings.Contains(got.Message, "the host's file for one that is not multinic's (multinic0, multinic1, multinic2 and 7 more)") {
		t.Errorf("%v %s", got.Obstacle, got.Message)
	}
}

// TestWhatDHCPGivesAgainIsNotTakenAway once a card has been given back, and has its own name again.
func TestWhatDHCPGivesAgainIsNotTakenAway(t *testing.T) {
	m := persisting()
	claims := plan.Claims{mac0: nic("multinic0")}
	made(t, m, plan.Decide([]plan.Item{item(mac0, "198.51.100.10/24", "", 0)}, claims, m.read()))
	release := plan.Release{MAC: mac0, VLANs: []int{0}, Whole: true, Original: &plan.Original{Name: "eth1", MTU: 1500}}
	made(t, m, plan.Plan{Shared: plan.Releases(release, claims, m.readWhole()).Changes})
	link := m.link(3)
	lease := plan.Address{Prefix: netip.MustParsePrefix("10.9.0.5/24")}
	link.Up, link.Addresses, link.Leased = true, []plan.Address{lease}, []netip.Prefix{lease.Prefix}
	m.kernel.Routes = append(m.kernel.Routes, plan.Route{Table: plan.MainTable, To: lease.Prefix.Masked(), Link: 3, Protocol: 16})
	if left := text(plan.Releases(release, claims, m.readWhole()).Changes); link.Name != "eth1" || left != "" {
		t.Errorf("%s is to be given back by\n%s", link.Name, left)
	}
	// What it has for good goes, and it goes down: the control.
	link.Leased = nil
	if left := text(plan.Releases(release, claims, m.readWhole()).Changes); !strings.Contains(left, "address delete 10.9.0.5/24") || !strings.Contains(left, "link set eth1 down") {
		t.Errorf("without a lease, it is to be given back by\n%s", left)
	}
}

// TestWhatDHCPGaveIsNotPutBackForGood: who gave it gives it again.
func TestWhatDHCPGaveIsNotPutBackForGood(t *testing.T) {
	m := persisting()
	lease := plan.Address{Prefix: netip.MustParsePrefix("10.9.0.5/24")}
	link := m.link(3)
	link.Up, link.Addresses, link.Leased = true, []plan.Address{lease, near("10.8.0.5/24")}, []netip.Prefix{lease.Prefix}
	before := plan.FormerOf(mac0, nil, m.readWhole())
	link.Addresses, link.Leased = nil, nil
	if left := text(before.Restore(m.readWhole())); strings.Contains(left, "10.9.0.5") || !strings.Contains(left, "address add 10.8.0.5/24") {
		t.Errorf("it is put back by\n%s", left)
	}
	link.Addresses, link.Leased = []plan.Address{near("10.8.0.5/24"), {Prefix: netip.MustParsePrefix("10.9.0.6/24")}}, []netip.Prefix{netip.MustParsePrefix("10.9.0.6/24")}
	if left := text(before.Restore(m.readWhole())); left != "" {
		t.Errorf("with another lease by now, it is put back by\n%s", left)
	}
}

// TestAReleaseLeavesSomebodyElsesFile which an agent that has come back has put into our file's place.
func TestAReleaseLeavesSomebodyElsesFile(t *testing.T) {
	m := predecessors()
	release := plan.Release{MAC: mac0, VLANs: []int{0}, Whole: true, Original: &plan.Original{Name: "eth1", MTU: 1500}}
	claims := plan.Claims{mac0: nic("multinic3")}
	for range 2 {
		made(t, m, plan.Plan{Shared: plan.Releases(release, claims, m.readWhole()).Changes})
	}
	if left := text(plan.Releases(release, claims, m.readWhole()).Changes); left != "" || m.kernel.Persisted["multinic3"].Foreign == nil {
		t.Errorf("there is left\n%s\nand persisted is %+v", left, m.kernel.Persisted)
	}
}

// TestAFileThatIsHalfTakenOverIsPutBackIntoItsPlace as a power cut may have left it; and what was not understood is not put back at all:
// it was never touched.
func TestAFileThatIsHalfTakenOverIsPutBackIntoItsPlace(t *testing.T) {
	m := predecessors()
	half := m.kernel.Persisted["multinic3"]
	half.Spoiled = true
	m.kernel.Persisted["multinic3"] = half
	m.kernel.Persisted["multinic0"] = plan.Config{NIC: "multinic0", Foreign: &plan.File{Text: "\xfc"}}
	before := plan.FormerOf(mac0, []string{"multinic3", "multinic0"}, m.readWhole())
	made(t, m, plan.Decide([]plan.Item{item(mac0, "198.51.100.11/24", "", 0)}, nil, m.read()))
	for range 3 {
		made(t, m, plan.Plan{Shared: before.Restore(m.readWhole())})
	}
	if left := text(before.Restore(m.readWhole())); left != "" {
		t.Errorf("put back, there is left:\n%s", left)
	}
	if is := m.kernel.Persisted["multinic3"]; is.Foreign == nil || is.Spoiled {
		t.Errorf("put back, persisted is %+v", is)
	}
	if len(before.Persisted) != 1 {
		t.Errorf("what would be put back is %+v", before.Persisted)
	}
}
