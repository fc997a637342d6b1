package oracle

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

const trunkMAC = "02:00:00:00:00:01"

// trunk are the rows that testdata/trunk.json agrees with: a card with an untagged row and one of a VLAN, and a card that
// has nothing but a VLAN.
func trunk() []Row {
	return []Row{
		{MAC: trunkMAC, VLAN: 100, Address: "198.51.100.10", Mask: "24", Gateway: "198.51.100.1", MTU: 1400},
		{MAC: "02:00:00:00:00:02", VLAN: 4094, Address: "203.0.113.10", Mask: "24"},
		{MAC: trunkMAC, Address: "192.0.2.10", Mask: "24"},
	}
}

func TestWhatTheRowsOfATrunkAskFor(t *testing.T) {
	got, err := wanted(trunk(), Expect{})
	want := []string{
		"address multinic0 192.0.2.10/24 noprefixroute",
		"address multinic0.100 198.51.100.10/24 noprefixroute",
		"address multinic1.4094 203.0.113.10/24 noprefixroute",
		"link multinic0 02:00:00:00:00:01 up",
		"link multinic0.100 02:00:00:00:00:01 up VLAN 100 on multinic0",
		"link multinic1 02:00:00:00:00:02 up",
		"link multinic1.4094 02:00:00:00:00:02 up VLAN 4094 on multinic1",
		"mtu multinic0.100 1400",
		"route multinic0 table 1835925503 to 192.0.2.0/24 from 192.0.2.10 metric 1 protocol 109",
		"route multinic0 table 1835925504 to 192.0.2.0/24 from 192.0.2.10 metric 0 protocol 109",
		"route multinic0.100 table 1835925503 to 198.51.100.0/24 from 198.51.100.10 metric 101 protocol 109",
		"route multinic0.100 table 1835925604 to 198.51.100.0/24 from 198.51.100.10 metric 0 protocol 109",
		"route multinic0.100 table 1835925604 to default via 198.51.100.1 from 198.51.100.10 metric 0 protocol 109",
		"route multinic1.4094 table 1835925503 to 203.0.113.0/24 from 203.0.113.10 metric 8191 protocol 109",
		"route multinic1.4094 table 1835933694 to 203.0.113.0/24 from 203.0.113.10 metric 0 protocol 109",
		"rule 25000 from 192.0.2.10 table 1835925504 without default protocol 109",
		"rule 25000 from 198.51.100.10 table 1835925604 without default protocol 109",
		"rule 25000 from 203.0.113.10 table 1835933694 without default protocol 109",
		"rule 25001 from 192.0.2.10 table 254 without default protocol 109",
		"rule 25001 from 198.51.100.10 table 254 without default protocol 109",
		"rule 25001 from 203.0.113.10 table 254 without default protocol 109",
		"rule 25002 from 192.0.2.10 table 1835925504 protocol 109",
		"rule 25002 from 198.51.100.10 table 1835925604 protocol 109",
		"rule 25002 from 203.0.113.10 table 1835933694 protocol 109",
		"rule 32764 from all table 254 without default protocol 109",
		"rule 32765 from all table 1835925503 protocol 109",
	}
	for _, link := range []string{"multinic0", "multinic0.100", "multinic1", "multinic1.4094"} {
		for _, value := range []string{"arp_announce=2", "arp_ignore=1", "rp_filter=2"} {
			want = append(want, "setting "+link+" "+value)
		}
	}
	slices.Sort(got)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("error %v, text:\n%s\nwant:\n%s", err, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestOneRowOfATrunkThatIsNotToBeCarriedOut(t *testing.T) {
	for _, test := range []struct {
		without string
		// want is whether the text speaks of the card, and of its VLAN.
		card, vlan bool
	}{{trunkMAC + " 100", true, false}, {trunkMAC + " 0", true, true}, {trunkMAC + " 7", true, true}, {trunkMAC, false, false}} {
		lines, err := wanted([]Row{{MAC: trunkMAC}, {MAC: trunkMAC, VLAN: 100}}, Expect{Without: []string{test.without}})
		card := slices.Contains(lines, "link multinic0 02:00:00:00:00:01 up")
		vlan := slices.Contains(lines, "link multinic0.100 02:00:00:00:00:01 up VLAN 100 on multinic0")
		if err != nil || card != test.card || vlan != test.vlan {
			t.Errorf("without %s: the card %t, the VLAN %t, error %v", test.without, card, vlan, err)
		}
	}
}

// trunkLinks is what `ip -j -N -d address show` printed on a node where trunk was true, with something replaced.
func trunkLinks(t *testing.T, replace ...string) []string {
	t.Helper()
	text, err := os.ReadFile("testdata/trunk.json")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), replace[0]) {
		t.Fatalf("there is no %s to be replaced", replace[0])
	}
	links, err := linksOf([]byte(strings.NewReplacer(replace...).Replace(string(text))))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, l := range links {
		lines = append(lines, l.lines(trunk())...)
	}
	return lines
}

func TestEachDeviationOfATrunksLinksIsNamed(t *testing.T) {
	lines, err := wanted(trunk(), Expect{})
	if err != nil {
		t.Fatal(err)
	}
	lines = slices.DeleteFunc(lines, func(l string) bool {
		return !strings.HasPrefix(l, "link ") && !strings.HasPrefix(l, "address ") && !strings.HasPrefix(l, "mtu ")
	})
	vlan := func(change string) []string {
		return []string{"missing: link multinic0.100 " + trunkMAC + " up VLAN 100 on multinic0", "unexpected: link multinic0.100 " + trunkMAC + " " + change}
	}
	for _, test := range []struct {
		name         string
		old, changed string
		want         []string
	}{
		{"none", "", "", nil},
		{"protocol as a word", `"[33024]"`, `"802.1Q"`, nil},
		{"other id", `"id":100`, `"id":101`, slices.Concat(
			[]string{"missing: link multinic0.100 " + trunkMAC + " up VLAN 100 on multinic0", "missing: mtu multinic0.100 1400"}, vlan("up VLAN 101 on multinic0")[1:],
		)},
		{"other protocol", `"protocol":"[33024]","id":100`, `"protocol":"802.1ad","id":100`, vlan("up VLAN 100 on multinic0 by 802.1ad")},
		{"on top of another", `"link":"multinic0"`, `"link":"multinic1"`, vlan("up VLAN 100 on multinic1")},
		{"other kind", `"info_kind":"vlan","info_data":{"protocol":"[33024]","id":100,`, `"info_kind":"dummy","info_data":{"protocol":"x","id":"y",`, slices.Concat(
			[]string{"missing: link multinic0.100 " + trunkMAC + " up VLAN 100 on multinic0", "missing: mtu multinic0.100 1400"}, vlan("up")[1:],
		)},
		{"surplus", `"ifname":"eth0"`, `"ifname":"multinic0.5"`, []string{
			"unexpected: address multinic0.5 192.0.2.100/24", "unexpected: link multinic0.5 02:00:00:00:00:99 up",
		}},
		{"other MTU", `"mtu":1400`, `"mtu":1500`, []string{"missing: mtu multinic0.100 1400", "unexpected: mtu multinic0.100 1500"}},
		{"other address", `"local":"203.0.113.10"`, `"local":"203.0.113.11"`, []string{
			"missing: address multinic1.4094 203.0.113.10/24 noprefixroute", "unexpected: address multinic1.4094 203.0.113.11/24 noprefixroute",
		}},
	} {
		got := differences(lines, trunkLinks(t, test.old, test.changed))
		slices.Sort(test.want)
		if fmt.Sprint(got) != fmt.Sprint(test.want) {
			t.Errorf("%s:\n%s\nwant:\n%s", test.name, strings.Join(got, "\n"), strings.Join(test.want, "\n"))
		}
	}
}
