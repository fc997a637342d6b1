package oracle_test

import (
	"slices"
	"strings"
	"testing"

	"multinic.dev/testbed/node"
	"multinic.dev/testbed/oracle"
	"multinic.dev/testbed/uml"
)

// theTrunk are what trunked makes true by hand: two VLANs on one card, without an untagged row.
func theTrunk() []oracle.Row {
	return []oracle.Row{
		{MAC: mac0, VLAN: 100, Address: "192.0.2.10", Mask: "24", Gateway: "192.0.2.1", MTU: 1400},
		{MAC: mac0, VLAN: 200},
	}
}

// trunked is a node on which theTrunk is true.
func trunked(t *testing.T) *node.Node {
	t.Helper()
	n := node.New(t, "node")
	n.PlugIn("multinic0", mac0, nil)
	for _, command := range []string{
		"link set multinic0 up",
		"link add link multinic0 name multinic0.100 type vlan id 100",
		"link add link multinic0 name multinic0.200 type vlan id 200",
	} {
		run(n, command)
	}
	for _, link := range []string{"multinic0", "multinic0.100", "multinic0.200"} {
		n.Set("net/ipv4/conf/"+link+"/arp_ignore", "1")
		n.Set("net/ipv4/conf/"+link+"/arp_announce", "2")
		n.Set("net/ipv4/conf/"+link+"/rp_filter", "2")
		run(n, "link set "+link+" up")
	}
	for _, command := range []string{
		"link set multinic0.100 mtu 1400",
		"address add 192.0.2.10/24 brd + dev multinic0.100 noprefixroute",
		"route add 192.0.2.0/24 dev multinic0.100 scope link src 192.0.2.10 table 1835925604 protocol 109",
		"route add default via 192.0.2.1 dev multinic0.100 src 192.0.2.10 table 1835925604 protocol 109",
		"route add 192.0.2.0/24 dev multinic0.100 scope link src 192.0.2.10 table 1835925503 metric 101 protocol 109",
		"rule add pref 25000 from 192.0.2.10 lookup 1835925604 suppress_prefixlength 0 protocol 109",
		"rule add pref 25001 from 192.0.2.10 lookup main suppress_prefixlength 0 protocol 109",
		"rule add pref 25002 from 192.0.2.10 lookup 1835925604 protocol 109",
		"rule add pref 32764 lookup main suppress_prefixlength 0 protocol 109",
		"rule add pref 32765 lookup 1835925503 protocol 109",
	} {
		run(n, command)
	}
	return n
}

func TestEachDeviationOfATrunkInTheKernelIsNamed(t *testing.T) {
	uml.Run(t, func() {
		const mac = " " + mac0 + " up"
		for _, test := range []struct {
			name     string
			commands []string
			want     []string
		}{
			{"none", nil, nil},
			{"missing VLAN", []string{"link delete multinic0.200"}, []string{
				"missing: link multinic0.200" + mac + " VLAN 200 on multinic0",
				"missing: setting multinic0.200 arp_announce=2", "missing: setting multinic0.200 arp_ignore=1", "missing: setting multinic0.200 rp_filter=2",
			}},
			{"wrong id", []string{
				"link delete multinic0.200", "link add link multinic0 name multinic0.200 type vlan id 201", "link set multinic0.200 up",
			}, []string{
				"missing: link multinic0.200" + mac + " VLAN 200 on multinic0",
				"missing: setting multinic0.200 arp_announce=2", "missing: setting multinic0.200 arp_ignore=1", "missing: setting multinic0.200 rp_filter=2",
				"unexpected: link multinic0.200" + mac + " VLAN 201 on multinic0",
				"unexpected: setting multinic0.200 arp_announce=0", "unexpected: setting multinic0.200 arp_ignore=0", "unexpected: setting multinic0.200 rp_filter=0",
			}},
			{"surplus VLAN", []string{"link add link multinic0 name multinic0.7 type vlan id 7"}, []string{
				"unexpected: link multinic0.7 " + mac0 + " down VLAN 7 on multinic0",
				"unexpected: setting multinic0.7 arp_announce=0", "unexpected: setting multinic0.7 arp_ignore=0", "unexpected: setting multinic0.7 rp_filter=0",
			}},
			{"address on the card's own link", []string{"address add 192.0.2.10/24 dev multinic0 noprefixroute"}, []string{
				"unexpected: address multinic0 192.0.2.10/24 noprefixroute",
			}},
			{"down", []string{"link set multinic0.200 down"}, []string{
				"missing: link multinic0.200" + mac + " VLAN 200 on multinic0", "unexpected: link multinic0.200 " + mac0 + " down VLAN 200 on multinic0",
			}},
			{"mtu", []string{"link set multinic0.100 mtu 1300"}, []string{"missing: mtu multinic0.100 1400", "unexpected: mtu multinic0.100 1300"}},
			{"missing rule", []string{"rule delete pref 25000"}, []string{"missing: rule 25000 from 192.0.2.10 table 1835925604 without default protocol 109"}},
			{"table of the untagged row", []string{"route add 192.0.2.0/24 dev multinic0.100 src 192.0.2.10 table 1835925504 protocol 109"}, []string{
				"unexpected: route multinic0.100 table 1835925504 to 192.0.2.0/24 from 192.0.2.10 metric 0 protocol 109",
			}},
		} {
			t.Run(test.name, func(t *testing.T) {
				n := trunked(t)
				for _, command := range test.commands {
					run(n, command)
				}
				got, err := oracle.Check(t.Context(), n, theTrunk(), oracle.Expect{})
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(got, test.want) {
					t.Errorf("differences:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
				}
			})
		}
	})
}
