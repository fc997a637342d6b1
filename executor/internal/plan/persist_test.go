package plan_test

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"multinic.dev/executor/internal/plan"
)

// persisting is a node with one NIC whose network manager keeps what it is told.
func persisting() *model {
	m := node("eth1")
	m.kernel.Persisted = map[string]plan.Config{}
	return m
}

func specOf(address, gateway string) plan.Spec { return item("", address, gateway, 0).Spec }

func TestWhatIsMadeIsPersistedLast(t *testing.T) {
	m := persisting()
	items := []plan.Item{item(mac0, "192.0.2.10/24", "", 0), tagged(7, "198.51.100.10/24", "")}
	claims := plan.Claims{mac0: {Name: "multinic0", VLANs: []int{0, 7}}}
	p := plan.Decide(items, claims, m.read())
	for _, decision := range p.Decisions {
		if last := decision.Changes[len(decision.Changes)-1]; last.String() != "persist multinic0" {
			t.Errorf("the last change for VLAN %d is %s", decision.Item.Key.VLAN, last)
		}
	}
	made(t, m, p)
	made(t, m, plan.Decide(items, claims, m.read()))
	golden(t, plan.Decide(items, claims, m.read()), "")
	want := plan.Config{NIC: "multinic0", MAC: mac0, ByName: true, Interfaces: []plan.Interface{
		{VLAN: 0, Spec: specOf("192.0.2.10/24", "")}, {VLAN: 7, Spec: specOf("198.51.100.10/24", "")},
	}}
	if got := m.kernel.Persisted["multinic0"]; !reflect.DeepEqual(got, want) {
		t.Errorf("persisted is\n%+v\nwant\n%+v", got, want)
	}

	for _, test := range []struct {
		name  string
		spoil func(is plan.Config) plan.Config
	}{
		{"another version's", func(is plan.Config) plan.Config { is.Spoiled = true; return is }},
		{"another card's", func(is plan.Config) plan.Config { is.MAC = mac1; return is }},
		{"lacks a VLAN", func(is plan.Config) plan.Config { is.Interfaces = is.Interfaces[:1]; return is }},
		{"knows the card by its MAC", func(is plan.Config) plan.Config { is.ByName = false; return is }},
	} {
		m.kernel.Persisted["multinic0"] = test.spoil(want)
		p := plan.Decide(items, claims, m.read())
		if got := text(p.Decisions[0].Changes); got != "persist multinic0\n" {
			t.Errorf("%s: the plan is %q", test.name, got)
		}
	}
}

func TestWhatIsRefusedStaysPersisted(t *testing.T) {
	m := persisting()
	claims := plan.Claims{mac0: {Name: "multinic0", VLANs: []int{0, 7}}}
	items := []plan.Item{item(mac0, "192.0.2.10/24", "", 0), tagged(7, "198.51.100.10/24", "")}
	made(t, m, plan.Decide(items, claims, m.read()))
	made(t, m, plan.Decide(items, claims, m.read()))

	// The untagged one changes, and the VLAN asks for what no interface can be.
	items = []plan.Item{item(mac0, "192.0.2.11/24", "", 0), tagged(7, "127.0.0.1/8", "")}
	made(t, m, plan.Decide(items, claims, m.read()))
	want := []plan.Interface{{VLAN: 0, Spec: specOf("192.0.2.11/24", "")}, {VLAN: 7, Spec: specOf("198.51.100.10/24", "")}}
	if got := m.kernel.Persisted["multinic0"].Interfaces; !reflect.DeepEqual(got, want) {
		t.Errorf("persisted is\n%+v\nwant\n%+v", got, want)
	}
}

func TestWhatIsGivenUpIsPersistedNoLonger(t *testing.T) {
	m := persisting()
	claims := plan.Claims{mac0: {Name: "multinic0", VLANs: []int{0, 7}}}
	items := []plan.Item{item(mac0, "192.0.2.10/24", "", 0), tagged(7, "198.51.100.10/24", "")}
	made(t, m, plan.Decide(items, claims, m.read()))
	made(t, m, plan.Decide(items, claims, m.read()))
	before := plan.FormerOf(mac0, []string{"multinic0"}, m.readWhole())

	made(t, m, plan.Plan{Shared: plan.Releases(plan.Release{MAC: mac0, VLANs: []int{7}}, claims, m.readWhole()).Changes})
	want := []plan.Interface{{VLAN: 0, Spec: specOf("192.0.2.10/24", "")}}
	if got := m.kernel.Persisted["multinic0"].Interfaces; !reflect.DeepEqual(got, want) {
		t.Errorf("without the VLAN, persisted is\n%+v\nwant\n%+v", got, want)
	}
	whole := plan.Release{MAC: mac0, VLANs: []int{0}, Whole: true, Original: &plan.Original{Name: "eth1", MTU: 1500}}
	made(t, m, plan.Plan{Shared: plan.Releases(whole, claims, m.readWhole()).Changes})
	if len(m.kernel.Persisted) != 0 {
		t.Errorf("persisted is still\n%+v", m.kernel.Persisted)
	}
	if left := text(plan.Releases(whole, claims, m.readWhole()).Changes); left != "" {
		t.Errorf("released once more, there is left:\n%s", left)
	}

	// And put back.
	made(t, m, plan.Plan{Shared: before.Restore(m.readWhole())})
	if got := plan.FormerOf(mac0, []string{"multinic0"}, m.readWhole()).Persisted; !reflect.DeepEqual(got, before.Persisted) {
		t.Errorf("put back, persisted is\n%+v\nwant\n%+v", got, before.Persisted)
	}
}

func TestWhatWasNotPersistedIsNotWhenACardIsPutBack(t *testing.T) {
	m := persisting()
	before := plan.FormerOf(mac0, []string{"multinic0"}, m.readWhole())
	made(t, m, plan.Decide([]plan.Item{item(mac0, "192.0.2.10/24", "", 0)}, plan.Claims{mac0: nic("multinic0")}, m.read()))
	if len(m.kernel.Persisted) != 1 {
		t.Fatal("nothing was persisted")
	}
	made(t, m, plan.Plan{Shared: before.Restore(m.readWhole())})
	if len(m.kernel.Persisted) != 0 {
		t.Errorf("persisted is still\n%+v", m.kernel.Persisted)
	}
}

// TestWhatAManagerHasSetUpIsNotSetUpAgain has networkd set up what is persisted: its rules have its own mark.
func TestWhatAManagerHasSetUpIsNotSetUpAgain(t *testing.T) {
	m := persisting()
	items := []plan.Item{item(mac0, "192.0.2.10/24", "192.0.2.1", 0)}
	claims := plan.Claims{mac0: nic("multinic0")}
	made(t, m, plan.Decide(items, claims, m.read()))
	for i := range m.kernel.Rules {
		if m.kernel.Rules[i].Protocol == plan.Protocol {
			m.kernel.Rules[i].Protocol = 4
		}
	}
	golden(t, plan.Decide(items, claims, m.read()), "")

	p := plan.Decide([]plan.Item{item(mac0, "192.0.2.11/24", "192.0.2.1", 0)}, claims, m.read())
	for _, want := range []string{
		"rule delete pref 25000 from 192.0.2.10 lookup 1835925504 suppress_prefixlength 0 proto static\n",
		"rule delete pref 25001 from 192.0.2.10 lookup main suppress_prefixlength 0 proto static\n",
		"rule delete pref 25002 from 192.0.2.10 lookup 1835925504 proto static\n",
	} {
		if !strings.Contains(text(p.Decisions[0].Changes), want) {
			t.Errorf("the plan for another address lacks %s:\n%s", want, text(p.Decisions[0].Changes))
		}
	}
	former := plan.FormerOf(mac0, nil, m.readWhole())
	made(t, m, p)
	made(t, m, plan.Plan{Shared: former.Restore(m.readWhole())})
	golden(t, plan.Decide(items, claims, m.read()), "")

	release := plan.Release{MAC: mac0, VLANs: []int{0}, Whole: true, Original: &plan.Original{Name: "eth1", MTU: 1500}}
	made(t, m, plan.Plan{Shared: plan.Releases(release, claims, m.readWhole()).Changes})
	made(t, m, plan.Plan{Shared: plan.Shared(nil, m.read())})
	if got, want := m.kernel.Rules, node().kernel.Rules; !reflect.DeepEqual(got, want) {
		t.Errorf("the rules that are left are\n%+v\nwant\n%+v", got, want)
	}
}

func TestHowAnInterfaceIsLaidOut(t *testing.T) {
	laid := plan.LayOut("multinic2", 7, specOf("198.51.100.10/24", "198.51.100.1"))
	if want := netip.MustParsePrefix("198.51.100.10/24"); laid.Address.Prefix != want || !laid.Address.NoPrefixRoute {
		t.Errorf("the address is %+v", laid.Address)
	}
	var words []string
	for _, route := range laid.Routes {
		words = append(words, plan.AddRoute{Route: route, Name: "multinic2.7"}.String())
	}
	for _, rule := range laid.Rules {
		words = append(words, plan.AddRule{Rule: rule}.String())
	}
	if got, want := strings.Join(words, "\n"), strings.TrimSpace(`
route replace 198.51.100.0/24 dev multinic2.7 table 1835933703 proto 109 scope link src 198.51.100.10
route replace default via 198.51.100.1 dev multinic2.7 table 1835933703 proto 109 src 198.51.100.10 onlink
route replace 198.51.100.0/24 dev multinic2.7 table 1835925503 proto 109 scope link src 198.51.100.10 metric 8200
rule add pref 25000 from 198.51.100.10 lookup 1835933703 suppress_prefixlength 0 proto 109
rule add pref 25001 from 198.51.100.10 lookup main suppress_prefixlength 0 proto 109
rule add pref 25002 from 198.51.100.10 lookup 1835933703 proto 109
rule add pref 32764 from all lookup main suppress_prefixlength 0 proto 109
rule add pref 32765 from all lookup 1835925503 proto 109`); got != want {
		t.Errorf("laid out as\n%s\nwant\n%s", got, want)
	}
	if bare := plan.LayOut("multinic2", 0, plan.Spec{}); len(bare.Routes)+len(bare.Rules) != 0 || bare.Address.Prefix.IsValid() {
		t.Errorf("without an address it is laid out as %+v", bare)
	}
}
