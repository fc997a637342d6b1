package plan_test

import (
	"slices"
	"testing"

	"multinic.dev/executor/internal/plan"
)

// tagged is what a row with a VLAN id asks for.
func tagged(vlan int, address, gateway string) plan.Item {
	one := item(mac0, address, gateway, 0)
	one.Key.VLAN = vlan
	return one
}

// made carries a plan out.
func made(t *testing.T, m *model, p plan.Plan) {
	t.Helper()
	for _, change := range changesOf(p) {
		if err := m.apply(change); err != nil {
			t.Fatal(err)
		}
	}
}

func TestATrunkIsMadeInTwoPlans(t *testing.T) {
	m := node("eth1")
	items := []plan.Item{tagged(5, "192.0.2.10/24", "192.0.2.1")}
	p := plan.Decide(items, nil, m.read())
	golden(t, p, `
link set eth1 name multinic0
sysctl net/ipv4/conf/multinic0/arp_ignore=1
sysctl net/ipv4/conf/multinic0/arp_announce=2
sysctl net/ipv4/conf/multinic0/rp_filter=2
sysctl net/ipv6/conf/multinic0/accept_ra=0
link set multinic0 up
link add link multinic0 name multinic0.5 type vlan id 5
rule add pref 32764 from all lookup main suppress_prefixlength 0 proto 109
rule add pref 32765 from all lookup 1835925503 proto 109
`)
	made(t, m, p)
	claims := plan.Claims{mac0: {Name: "multinic0", VLANs: []int{5}}}
	p = plan.Decide(items, claims, m.read())
	golden(t, p, `
sysctl net/ipv4/conf/multinic0.5/arp_ignore=1
sysctl net/ipv4/conf/multinic0.5/arp_announce=2
sysctl net/ipv4/conf/multinic0.5/rp_filter=2
sysctl net/ipv6/conf/multinic0.5/accept_ra=0
link set multinic0.5 up
address add 192.0.2.10/24 dev multinic0.5 noprefixroute
route replace 192.0.2.0/24 dev multinic0.5 table 1835925509 proto 109 scope link src 192.0.2.10
route replace default via 192.0.2.1 dev multinic0.5 table 1835925509 proto 109 src 192.0.2.10 onlink
route replace 192.0.2.0/24 dev multinic0.5 table 1835925503 proto 109 scope link src 192.0.2.10 metric 6
rule add pref 25000 from 192.0.2.10 lookup 1835925509 suppress_prefixlength 0 proto 109
rule add pref 25001 from 192.0.2.10 lookup main suppress_prefixlength 0 proto 109
rule add pref 25002 from 192.0.2.10 lookup 1835925509 proto 109
`)
	made(t, m, p)
	golden(t, plan.Decide(items, claims, m.read()), "")
}

// TestAnUntaggedInterfaceThatNoItemNamesStaysOnATrunk holds that absence is no order, also where the card is worked on.
func TestAnUntaggedInterfaceThatNoItemNamesStaysOnATrunk(t *testing.T) {
	m := node("eth1")
	claims := carryOut(t, m, item(mac0, "192.0.2.10/24", "", 0))
	m.link(3).Up = false
	items := []plan.Item{tagged(5, "", "")}
	golden(t, plan.Decide(items, claims, m.read()), "link set multinic0 up\nlink add link multinic0 name multinic0.5 type vlan id 5\n")
	claims[mac0] = plan.Claim{Name: "multinic0", VLANs: []int{5}}
	golden(t, plan.Decide(items, claims, m.read()), `
link set multinic0 up
rule delete pref 25000 from 192.0.2.10 lookup 1835925504 suppress_prefixlength 0 proto 109
rule delete pref 25001 from 192.0.2.10 lookup main suppress_prefixlength 0 proto 109
rule delete pref 25002 from 192.0.2.10 lookup 1835925504 proto 109
route delete 192.0.2.0/24 dev multinic0 table 1835925504 proto 109 scope link src 192.0.2.10
route delete 192.0.2.0/24 dev multinic0 table 1835925503 proto 109 scope link src 192.0.2.10 metric 1
address delete 192.0.2.10/24 dev multinic0
link add link multinic0 name multinic0.5 type vlan id 5
`)
}

func TestAVLANThatIsSomebodyElsesIsRefused(t *testing.T) {
	for _, test := range []struct {
		name   string
		link   plan.Link
		claims []int
		want   string
	}{
		{"the id under another name", plan.Link{Index: 9, Name: "storage", Kind: "vlan", Lower: 3, VLAN: 5, MAC: mac0}, []int{0},
			mac0 + ": VLAN 5 on eth1 (" + mac0 + ") is there already as storage, which is not multinic's: delete that link, or choose another VLAN\n"},
		{"the name on another kind of link", plan.Link{Index: 9, Name: "multinic0.5", Kind: "veth"}, []int{0, 5},
			mac0 + ": multinic0.5 is the name of VLAN 5 on " + mac0 + ", and another link (index 9) bears it: rename that link\n"},
		{"the id under another name, but claimed", plan.Link{Index: 9, Name: "storage", Kind: "vlan", Lower: 3, VLAN: 5, MAC: mac0, Up: true}, []int{0, 5}, ""},
		{"the name with another id", plan.Link{Index: 9, Name: "multinic0.5", Kind: "vlan", Lower: 3, VLAN: 6, MAC: mac0}, []int{0, 5}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := node("eth1")
			m.kernel.Links = append(m.kernel.Links, test.link)
			m.settings[9] = map[string]string{}
			for _, setting := range plan.Settings() {
				m.settings[9][setting.Path] = "3"
			}
			claims := plan.Claims{mac0: {Name: "multinic0", VLANs: test.claims}}
			p := plan.Decide([]plan.Item{tagged(5, "", "")}, claims, m.read())
			if test.want != "" {
				golden(t, p, test.want)
				if p.Decisions[0].Obstacle != plan.NameInUse {
					t.Errorf("obstacle %d", p.Decisions[0].Obstacle)
				}
				return
			}
			made(t, m, p)
			made(t, m, plan.Decide([]plan.Item{tagged(5, "", "")}, claims, m.read()))
			golden(t, plan.Decide([]plan.Item{tagged(5, "", "")}, claims, m.read()), "")
			if i := slices.IndexFunc(m.kernel.Links, func(l plan.Link) bool { return l.Name == "multinic0.5" }); i < 0 || m.kernel.Links[i].VLAN != 5 {
				t.Errorf("the links are %+v", m.kernel.Links)
			}
		})
	}
}

func TestTheNameOfAnAbsentUnwantedCardIsTakenOverWhenNoneIsLeft(t *testing.T) {
	claims := plan.Claims{}
	for n := range 10 {
		claims[mac2[:len(mac2)-1]+string(rune('a'+n))] = nic("multinic" + string(rune('0'+n)))
	}
	wanted := mac2[:len(mac2)-1] + "a" // multinic0's, absent but wanted.
	p := plan.Decide([]plan.Item{item(mac0, "", "", 0), item(wanted, "", "", 0)}, claims, node("eth1").read())
	if got := p.Decisions[0]; got.Obstacle != plan.None || got.Name != "multinic1" {
		t.Errorf("the new card: %+v", got)
	}
	delete(claims, mac2[:len(mac2)-1]+"j") // A free name goes first.
	p = plan.Decide([]plan.Item{item(mac0, "", "", 0), item(wanted, "", "", 0)}, claims, node("eth1").read())
	if got := p.Decisions[0]; got.Name != "multinic9" {
		t.Errorf("the new card with a name left: %+v", got)
	}
}
