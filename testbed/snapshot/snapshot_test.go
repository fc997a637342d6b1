package snapshot_test

import (
	"slices"
	"strings"
	"testing"

	"multinic.dev/testbed/node"
	"multinic.dev/testbed/snapshot"
	"multinic.dev/testbed/uml"
)

func TestMain(m *testing.M) { uml.Main(m) }

func take(t *testing.T, n *node.Node) snapshot.Snapshot {
	t.Helper()
	s, err := snapshot.Take(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// furnished is a node with something of everything.
func furnished(t *testing.T) *node.Node {
	t.Helper()
	n := node.New(t, "node")
	w := node.NewWire(t, "wire")
	n.Underlay("eth0", "02:00:00:00:00:10", "192.0.2.10/24", "192.0.2.1", 100, w)
	n.PlugIn("eth1", "02:00:00:00:00:11", w)
	n.AddPod("pod", "10.244.0.5/32")
	for _, command := range []string{
		"link set eth1 up",
		"link add br7 type bridge",
		"address add 198.51.100.1/24 brd + dev eth1 noprefixroute",
		"address add 2001:db8::1/64 dev eth1 nodad",
		"route add 203.0.113.0/24 dev eth1 table 1835925504 metric 7",
		"route add blackhole 198.18.0.0/24",
		"-6 route add 2001:db8:1::/64 dev eth1 metric 9",
		"rule add pref 100 from 198.51.100.1 lookup 1835925504",
		"-6 rule add pref 100 iif eth1 lookup 77",
		"neighbour add 198.51.100.9 lladdr 02:00:00:00:00:99 dev eth1 nud permanent",
	} {
		n.IP(strings.Fields(command)...)
	}
	return n
}

func TestEachChangeIsADifferenceThatItsInverseTakesBack(t *testing.T) {
	n := furnished(t)
	before := take(t, n)
	const eth1 = `link ifname eth1 ifindex 3 kind veth address 02:00:00:00:00:11 mtu 1500 flags ["BROADCAST","MULTICAST","UP"]`
	for _, test := range []struct {
		change, inverse string
		// want are the beginnings of the differences.
		want []string
	}{
		{"link set eth1 mtu 1400", "link set eth1 mtu 1500", []string{
			"gone: " + eth1, "gone: setting net/ipv6/conf/eth1/mtu=1500", "new: " + strings.Replace(eth1, "1500", "1400", 1), "new: setting net/ipv6/conf/eth1/mtu=1400",
		}},
		{"link set br7 name br8", "link set br8 name br7", nil},
		{"link set eth1 alias other", `link set eth1 alias `, []string{"gone: " + eth1, "new: " + eth1}},
		{"link set br7 address 02:00:00:00:00:77", "", nil},
		{"link set eth1 master br7", "link set eth1 nomaster", []string{"gone: " + eth1, "new: " + eth1}},
		{"link set eth1 promisc on", "link set eth1 promisc off", nil},
		{"address add 198.51.100.2/24 dev eth1 noprefixroute", "address delete 198.51.100.2/24 dev eth1", []string{
			"new: address dev eth1 family inet local 198.51.100.2 prefixlen 24 label eth1 noprefixroute true scope 0 secondary true",
			"new: route -4 table 255 dst 198.51.100.2 dev eth1",
		}},
		{"address add fe80::1/64 dev eth1 nodad", "address delete fe80::1/64 dev eth1", []string{
			"new: address dev eth1 family inet6 local fe80::1 prefixlen 64",
		}},
		{"route add 203.0.113.0/24 dev eth1", "route delete 203.0.113.0/24", []string{"new: route -4 table 254 dst 203.0.113.0/24 dev eth1"}},
		{"route delete 203.0.113.0/24 table 1835925504", "route add 203.0.113.0/24 dev eth1 table 1835925504 metric 7", []string{
			"gone: route -4 table 1835925504 dst 203.0.113.0/24 dev eth1 flags [] metric 7 protocol 3 scope 253 type 1",
		}},
		{"route delete blackhole 198.18.0.0/24", "route add blackhole 198.18.0.0/24", []string{"gone: route -4 table 254 dst 198.18.0.0/24 flags [] protocol 3 scope 0 type 6"}},
		{"-6 route delete 2001:db8:1::/64", "-6 route add 2001:db8:1::/64 dev eth1 metric 9", []string{"gone: route -6 table 254 dst 2001:db8:1::/64 dev eth1"}},
		{"rule delete pref 100", "rule add pref 100 from 198.51.100.1 lookup 1835925504", []string{"gone: rule -4 priority 100 src 198.51.100.1 table 1835925504"}},
		{"-6 rule add pref 99 lookup 78", "-6 rule delete pref 99", []string{"new: rule -6 priority 99 src all table 78"}},
		{"neighbour delete 198.51.100.9 dev eth1", "neighbour add 198.51.100.9 lladdr 02:00:00:00:00:99 dev eth1 nud permanent", []string{
			"gone: neighbour -4 nud dev eth1 dst 198.51.100.9 lladdr 02:00:00:00:00:99",
		}},
	} {
		t.Run(test.change, func(t *testing.T) {
			n.IP(strings.Fields(test.change)...)
			got := snapshot.Differences(before, take(t, n))
			if len(got) == 0 {
				t.Error("no difference")
			}
			if test.want != nil && !slices.EqualFunc(got, test.want, strings.HasPrefix) {
				t.Errorf("differences:\n%s\nwant, each beginning with:\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
			if test.inverse == "" {
				before = take(t, n)
				return
			}
			n.IP(fieldsWithLast(test.inverse)...)
			if got := snapshot.Differences(before, take(t, n)); len(got) != 0 {
				t.Errorf("after the inverse, differences:\n%s", strings.Join(got, "\n"))
			}
		})
	}
}

// fieldsWithLast are the words of a command; one that ends in a blank has an empty last word.
func fieldsWithLast(command string) []string {
	words := strings.Fields(command)
	if strings.HasSuffix(command, " ") {
		words = append(words, "")
	}
	return words
}

func TestEachSettingOfEveryLinkIsInIt(t *testing.T) {
	n := furnished(t)
	for setting, value := range map[string]string{
		"net/ipv4/conf/eth1/arp_ignore":       "1",
		"net/ipv4/conf/eth0/rp_filter":        "2",
		"net/ipv4/conf/default/arp_announce":  "2",
		"net/ipv4/conf/all/log_martians":      "1",
		"net/ipv6/conf/br7/accept_ra":         "0",
		"net/ipv6/conf/eth1/addr_gen_mode":    "1",
		"net/ipv4/neigh/eth1/retrans_time_ms": "2000",
	} {
		before := take(t, n)
		n.Set(setting, value)
		got := snapshot.Differences(before, take(t, n))
		if !slices.Contains(got, "new: setting "+setting+"="+value) {
			t.Errorf("%s: differences %q", setting, got)
		}
	}
}

func TestWhatPassesOfItselfIsNoDifference(t *testing.T) {
	n := node.New(t, "node")
	w := node.NewWire(t, "wire")
	eth1 := n.PlugIn("eth1", "02:00:00:00:00:11", w)
	host := w.AddHost("host", "192.0.2.1/24")
	n.IP("address", "add", "192.0.2.2/24", "dev", "eth1", "valid_lft", "1000", "preferred_lft", "900")
	n.IP("link", "set", "eth1", "up")
	before := take(t, n)
	n.IP("address", "change", "192.0.2.2/24", "dev", "eth1", "valid_lft", "2000", "preferred_lft", "1900")
	if out, err := host.Command(t.Context(), "ping", "-c1", "-W20", "192.0.2.2").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out) // It makes each learn the other's address.
	}
	n.IP("-6", "address", "flush", "dev", "eth1")
	w.IP("link", "set", eth1.Port(), "down") // No carrier.
	if got := snapshot.Differences(before, take(t, n)); len(got) != 0 {
		t.Errorf("differences:\n%s", strings.Join(got, "\n"))
	}
}

func TestASnapshotIsNarrowedByTheNamesOfLinks(t *testing.T) {
	n := furnished(t)
	before := take(t, n)
	n.IP("link", "set", "eth1", "down")
	n.IP("rule", "add", "pref", "200", "lookup", "main")
	after := take(t, n)
	if got := snapshot.Differences(before.Only("eth*"), after.Only("eth*")); len(got) == 0 || slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, "rule") }) {
		t.Errorf("of eth* alone: %q", got)
	}
	want := []string{"new: rule -4 priority 200 src all table 254 protocol 0"}
	if got := snapshot.Differences(before, after, "eth1"); !slices.Equal(got, want) {
		t.Errorf("without eth1: %q, want %q", got, want)
	}
	if got := after.Without("*").String(); strings.Contains(got, "eth1") {
		t.Errorf("without any link: %s", got)
	}
	if got := after.Only("eth1").String(); !strings.Contains(got, "setting net/ipv4/conf/eth1/rp_filter=") {
		t.Errorf("of eth1 alone: %s", got)
	}
}

func TestAVLANsIDAndTheLinkBelowItAreInIt(t *testing.T) {
	uml.Run(t, func() {
		n := node.New(t, "node")
		n.PlugIn("eth1", "02:00:00:00:00:11", nil)
		n.IP("link", "set", "eth1", "up")
		n.AddVLAN("eth1.7", "eth1", 7)
		const want = "\nlink ifname eth1.7 ifindex 3 kind vlan address 02:00:00:00:00:11 mtu 1500 flags [\"BROADCAST\",\"MULTICAST\",\"UP\"]"
		before := take(t, n)
		_, text, found := strings.Cut(before.String(), want)
		text, _, _ = strings.Cut(text, "\n")
		if !found || !strings.Contains(text, " link eth1 ") || !strings.Contains(text, " vlan 7 ") {
			t.Errorf("the snapshot says nothing, or this, of the VLAN: %s\n%s", text, before)
		}
		n.IP("link", "delete", "eth1.7")
		n.AddVLAN("eth1.7", "eth1", 8)
		if got := snapshot.Differences(before.Only("eth1.7"), take(t, n).Only("eth1.7")); len(got) != 2 {
			t.Errorf("after another id took its place, differences: %q", got)
		}
	})
}
