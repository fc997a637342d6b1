package oracle_test

import (
	"slices"
	"strings"
	"testing"

	"multinic.dev/testbed/node"
	"multinic.dev/testbed/oracle"
	"multinic.dev/testbed/uml"
)

func TestMain(m *testing.M) { uml.Main(m) }

const (
	mac0 = "02:00:00:00:00:01"
	mac1 = "02:00:00:00:00:02"
)

// theRows are what configured makes true by hand.
func theRows() []oracle.Row {
	return []oracle.Row{
		{MAC: mac1},
		{MAC: mac0, Address: "192.0.2.10", Mask: "255.255.255.0", Gateway: "192.0.2.1", MTU: 1400},
	}
}

// configured is a node on which theRows are true, written out as commands: multinic0's tables begin at 0x6d6e0000.
func configured(t *testing.T) *node.Node {
	t.Helper()
	n := node.New(t, "node")
	n.PlugIn("multinic0", mac0, nil)
	n.PlugIn("multinic1", mac1, nil)
	for _, link := range []string{"multinic0", "multinic1"} {
		n.Set("net/ipv4/conf/"+link+"/arp_ignore", "1")
		n.Set("net/ipv4/conf/"+link+"/arp_announce", "2")
		n.Set("net/ipv4/conf/"+link+"/rp_filter", "2")
		run(n, "link set "+link+" up")
	}
	for _, command := range []string{
		"link set multinic0 mtu 1400",
		"address add 192.0.2.10/24 brd + dev multinic0 noprefixroute",
		"route add 192.0.2.0/24 dev multinic0 scope link src 192.0.2.10 table 1835925504 protocol 109",
		"route add default via 192.0.2.1 dev multinic0 src 192.0.2.10 table 1835925504 protocol 109",
		"route add 192.0.2.0/24 dev multinic0 scope link src 192.0.2.10 table 1835925503 metric 1 protocol 109",
		"rule add pref 25000 from 192.0.2.10 lookup 1835925504 suppress_prefixlength 0 protocol 109",
		"rule add pref 25001 from 192.0.2.10 lookup main suppress_prefixlength 0 protocol 109",
		"rule add pref 25002 from 192.0.2.10 lookup 1835925504 protocol 109",
		"rule add pref 32764 lookup main suppress_prefixlength 0 protocol 109",
		"rule add pref 32765 lookup 1835925503 protocol 109",
	} {
		run(n, command)
	}
	return n
}

func run(n *node.Node, command string) { n.IP(strings.Fields(command)...) }

func TestEachDeviationOfTheKernelIsNamed(t *testing.T) {
	for _, test := range []struct {
		name    string
		command string
		want    []string
	}{
		{"none", "link show", nil},
		{"foreign things", "rule add pref 1000 from 198.51.100.1 lookup main", nil},
		{"name", "link set multinic0 name multinic5", []string{"missing: link multinic0 " + mac0 + " up", "unexpected: link multinic5 " + mac0 + " up"}},
		{"down", "link set multinic1 down", []string{"missing: link multinic1 " + mac1 + " up", "unexpected: link multinic1 " + mac1 + " down"}},
		{"mtu", "link set multinic0 mtu 1300", []string{"missing: mtu multinic0 1400", "unexpected: mtu multinic0 1300"}},
		{"further address", "address add 192.0.2.11/24 dev multinic0 noprefixroute", []string{"unexpected: address multinic0 192.0.2.11/24 noprefixroute"}},
		{"address on the one without", "address add 198.51.100.1/24 dev multinic1", []string{
			"unexpected: address multinic1 198.51.100.1/24",
			"unexpected: route multinic1 table 254 to 198.51.100.0/24 from 198.51.100.1 metric 0 protocol 2",
		}},
		{"own route gone", "route delete default table 1835925504", []string{
			"missing: route multinic0 table 1835925504 to default via 192.0.2.1 from 192.0.2.10 metric 0 protocol 109",
		}},
		{"shared route gone", "route delete 192.0.2.0/24 table 1835925503", []string{
			"missing: route multinic0 table 1835925503 to 192.0.2.0/24 from 192.0.2.10 metric 1 protocol 109",
		}},
		{"default in main", "route add default via 192.0.2.1 dev multinic0 onlink protocol 4", []string{
			"unexpected: route multinic0 table 254 to default via 192.0.2.1 from  metric 0 protocol 4",
		}},
		{"rule gone", "rule delete pref 25001", []string{"missing: rule 25001 from 192.0.2.10 table 254 without default protocol 109"}},
		{"shared rule gone", "rule delete pref 32765", []string{"missing: rule 32765 from all table 1835925503 protocol 109"}},
		{"stale rule", "rule add pref 25002 from 192.0.2.99 lookup 1835925504 protocol 4", []string{
			"unexpected: rule 25002 from 192.0.2.99 table 1835925504 protocol 4",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := configured(t)
			run(n, test.command)
			got, err := oracle.Check(t.Context(), n, theRows(), oracle.Expect{})
			if err != nil {
				t.Fatal(err)
			}
			// A changed name also changes the name in every other line; the link's own is enough here.
			if test.name == "name" {
				got = slices.DeleteFunc(got, func(s string) bool { return !strings.Contains(s, ": link ") })
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("differences:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
		})
	}
}

func TestASettingThatIsOffIsNamed(t *testing.T) {
	n := configured(t)
	n.Set("net/ipv4/conf/multinic1/arp_ignore", "0")
	got, err := oracle.Check(t.Context(), n, theRows(), oracle.Expect{})
	want := []string{"missing: setting multinic1 arp_ignore=1", "unexpected: setting multinic1 arp_ignore=0"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("differences %q, error %v, want %q", got, err, want)
	}
}

func TestWhatIsExpectedBesidesTheRows(t *testing.T) {
	n := configured(t)
	n.PlugIn("eth9", "02:00:00:00:00:09", nil)
	rows := append(theRows(), oracle.Row{MAC: "02:00:00:00:00:09", Address: "203.0.113.9", Mask: "24"})
	got, err := oracle.Check(t.Context(), n, rows, oracle.Expect{
		Names:   map[string]string{mac0: "multinic0"},
		Without: []string{"02:00:00:00:00:09"},
	})
	if err != nil || len(got) != 0 {
		t.Errorf("differences %q, error %v", got, err)
	}
	if got, err = oracle.Check(t.Context(), n, rows, oracle.Expect{}); err != nil || len(got) == 0 {
		t.Errorf("a card that should be configured and is not: differences %q, error %v", got, err)
	}
}
