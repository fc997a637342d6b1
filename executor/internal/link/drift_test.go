package link_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/testbed/monitor"
	"multinic.dev/testbed/node"
	"multinic.dev/testbed/oracle"
)

// TestEachDriftIsSeenAndRepaired lets somebody change something by hand, in one way after the other.
func TestEachDriftIsSeenAndRepaired(t *testing.T) {
	n := node.New(t, "node")
	w := node.NewWire(t, "wire")
	n.Underlay("eth0", "02:00:00:00:00:10", "192.0.2.5/24", "192.0.2.1", 100, w)
	n.PlugIn("eth1", mac0, w)
	n.PlugIn("eth2", mac1, w)
	rows := []oracle.Row{
		{MAC: mac0, Address: "192.0.2.10", Mask: "24", Gateway: "192.0.2.1", MTU: 1400},
		{MAC: mac1, Address: "192.0.2.11", Mask: "24", Gateway: "192.0.2.1"},
	}
	m := monitor.Start(t, n)
	n.IP("link", "set", "eth0", "alias", "known to the monitor")
	m.Mark(t)
	e := newExecutor(t, n)
	e.apply(itemsOf(rows))
	for _, by := range []string{
		"link set multinic0 name eth1",
		"link set multinic0 name eth1;link set multinic1 name multinic0;link set eth1 name multinic1",
		"link set multinic0 down",
		"link set multinic0 mtu 1200",
		"address flush dev multinic0",
		"address add 192.0.2.12/24 dev multinic0",
		"address add 198.51.100.1/24 dev multinic0",
		"address add 10.0.0.1 peer 10.0.0.2/32 dev multinic0",
		"address add 192.0.2.10/25 dev multinic0",
		"address add 169.254.1.1/16 dev multinic0 scope link",
		"address add 2001:db8::1/64 dev multinic0",
		"address delete 192.0.2.10/24 dev multinic0;address add 192.0.2.10/24 dev multinic0",
		"address delete 192.0.2.10/24 dev multinic0;address add 192.0.2.12/24 dev multinic0;address add 192.0.2.10/24 dev multinic0 noprefixroute",
		"route add default dev multinic0 metric 7",
		"route add 203.0.113.0/24 via 192.0.2.99 dev multinic0",
		"route add 203.0.113.0/24 dev multinic0 table 77 protocol static",
		"route add blackhole 203.0.113.0/24 table 1835925504",
		"route add 203.0.113.0/24 table 1835925504 nexthop via 192.0.2.98 dev multinic0 nexthop via 192.0.2.99 dev multinic0",
		"route add 203.0.113.0/24 via inet6 fe80::1 dev multinic0",
		"route flush table 1835925504",
		"route flush table 1835925503",
		"route change default via 192.0.2.254 dev multinic0 table 1835925504",
		"route add 192.0.2.0/24 dev multinic0 table 1835925503 metric 9",
		"rule delete pref 25001 from 192.0.2.10",
		"rule delete pref 32764",
		"rule delete pref 32765",
		"rule add pref 25002 from 192.0.2.99 lookup 1835925504",
		"rule add pref 100 from 192.0.2.99 lookup 1835925504 protocol static",
		"rule add pref 25001 from 192.0.2.99 lookup main protocol 109",
		"rule add pref 25000 from 192.0.2.10 lookup 1835925504 protocol 109",
		"rule add pref 32765 lookup 1835925503 suppress_prefixlength 0 protocol 4",
		"rule flush pref 25000",
	} {
		t.Run(by, func(t *testing.T) {
			e.t = t
			for command := range strings.SplitSeq(by, ";") {
				n.IP(strings.Fields(command)...)
			}
			if len(allChanges(e.decide(itemsOf(rows)))) == 0 {
				t.Fatal("nothing is to be done")
			}
			m.Mark(t)
			e.apply(itemsOf(rows))
			judge(t, n, rows, oracle.Expect{})
			if foreign := on(m.Mark(t), "eth0"); len(foreign) != 0 {
				t.Errorf("events on eth0: %v", foreign)
			}
		})
	}
	for path, value := range map[string]string{"ipv4/conf/multinic0/arp_ignore": "0", "ipv4/conf/multinic0/rp_filter": "1", "ipv6/conf/multinic0/accept_ra": "1"} {
		t.Run(path, func(t *testing.T) {
			e.t = t
			n.Set("net/"+path, value)
			changes := allChanges(e.decide(itemsOf(rows)))
			if len(changes) != 1 || !strings.Contains(changes[0].String(), path) {
				t.Errorf("changes:\n%s", text(changes))
			}
			e.apply(itemsOf(rows))
		})
	}
}

// lookAlikes look like rules of multinic0's and are not.
func lookAlikes() []string {
	return []string{
		"rule add pref 25000 from 192.0.2.10 lookup main protocol 4",
		"rule add pref 25001 from 192.0.2.10 fwmark 1 lookup main suppress_prefixlength 0 protocol 109",
		"rule add pref 25001 from 192.0.2.10 lookup main suppress_prefixlength 8 protocol 109",
		"rule add pref 25001 from 192.0.2.10 to 10.0.0.0/8 lookup main suppress_prefixlength 0 protocol 109",
		"rule add pref 25002 from 192.0.2.10 ipproto tcp lookup 1835925504 protocol 109",
		"rule add pref 25002 from 192.0.2.10 dsfield 4 lookup 1835925504 protocol 109",
		"rule add pref 25002 from 192.0.2.10 iif lo lookup 1835925504 protocol 109",
		"rule add pref 25002 from 192.0.2.10 prohibit protocol 109",
		"rule add pref 25002 from 192.0.2.77 lookup 1835929600 protocol 109",
		"rule add pref 25001 from 192.0.2.77 lookup main suppress_prefixlength 0 protocol 109",
		"rule add pref 32764 fwmark 1 lookup main suppress_prefixlength 0 protocol 109",
		"rule add pref 77 lookup main protocol 109",
	}
}

func TestRulesThatLookLikeOursStay(t *testing.T) {
	n := node.New(t, "node")
	n.PlugIn("eth1", mac0, nil)
	e := newExecutor(t, n)
	row := oracle.Row{MAC: mac0, Address: "192.0.2.10", Mask: "24", Gateway: "192.0.2.1"}
	e.apply(itemsOf([]oracle.Row{row}))
	ours := n.IP("rule", "show")
	for _, rule := range lookAlikes() {
		n.IP(strings.Fields(rule)...)
	}
	if left := allChanges(e.decide(itemsOf([]oracle.Row{row}))); len(left) != 0 {
		t.Errorf("changes:\n%s", text(left))
	}
	row.Address, row.Gateway = "", ""
	e.apply(itemsOf([]oracle.Row{row}))
	var want []string
	for _, rule := range lookAlikes() {
		pref, _, _ := strings.Cut(strings.TrimPrefix(rule, "rule add pref "), " ")
		want = append(want, pref)
	}
	want = append(want, "0", "32766", "32767")
	var got []string
	for line := range strings.Lines(n.IP("rule", "show")) {
		pref, _, _ := strings.Cut(line, ":")
		got = append(got, pref)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("ours were\n%snow there are rules at\n%s\nwant\n%s", ours, got, want)
	}
}

func TestRulesThatLookLikeOursAndStandBeforeThemAreNotTakenAway(t *testing.T) {
	n := node.New(t, "node")
	n.PlugIn("eth1", mac0, nil)
	// This one the kernel does not take while ours is there: to it they are the same.
	inverted := "rule add pref 25001 not from 192.0.2.10 lookup main suppress_prefixlength 0 protocol 109"
	for _, rule := range append([]string{inverted}, lookAlikes()...) {
		n.IP(strings.Fields(rule)...)
	}
	before := n.IP("-d", "rule", "show")
	e := newExecutor(t, n)
	row := oracle.Row{MAC: mac0, Address: "192.0.2.10", Mask: "24", Gateway: "192.0.2.1"}
	e.apply(itemsOf([]oracle.Row{row}))
	if got := n.IP("-d", "rule", "show"); strings.Count(got, "\n") != strings.Count(before, "\n")+5 {
		t.Errorf("five rules should have been added to\n%sbut now there are\n%s", before, got)
	}
	row.Address, row.Gateway = "", ""
	var failed []string
	for _, change := range allChanges(e.decide(itemsOf([]oracle.Row{row}))) {
		if err := e.kernel.Apply(change); err != nil {
			failed = append(failed, err.Error())
		}
	}
	const why = ": a rule like it, with further conditions, stands before it, and the kernel would take that one away: delete one of them by hand"
	want := []string{
		"rule delete pref 25001 from 192.0.2.10 lookup main suppress_prefixlength 0 proto 109" + why,
		"rule delete pref 25002 from 192.0.2.10 lookup 1835925504 proto 109" + why,
		"rule delete pref 32764 from all lookup main suppress_prefixlength 0 proto 109" + why,
	}
	if got := strings.Join(failed, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("errors:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
	}
	after := n.IP("-d", "rule", "show")
	for line := range strings.Lines(before) {
		if !strings.Contains(after, line) {
			t.Errorf("gone: %s", line)
		}
	}
}

func TestALinkThatVanishesInTheMiddleIsNamed(t *testing.T) {
	n := node.New(t, "node")
	nic := n.PlugIn("eth1", mac0, nil)
	e := newExecutor(t, n)
	items := itemsOf([]oracle.Row{{MAC: mac0, Address: "192.0.2.10", Mask: "24", Gateway: "192.0.2.1", MTU: 1400}})
	changes := e.decide(items).Decisions[0].Changes
	nic.Unplug()
	var failed []string
	for _, change := range changes {
		if err := e.kernel.Apply(change); err != nil {
			failed = append(failed, err.Error())
		}
	}
	want := []string{
		"link set eth1 name multinic0: the link is gone (no such device)",
		"link set multinic0 mtu 1400: the link is gone (no such device)",
		"sysctl net/ipv4/conf/multinic0/arp_ignore=1: there is no link multinic0",
		"sysctl net/ipv4/conf/multinic0/arp_announce=2: there is no link multinic0",
		"sysctl net/ipv4/conf/multinic0/rp_filter=2: there is no link multinic0",
		"sysctl net/ipv6/conf/multinic0/accept_ra=0: there is no link multinic0",
		"link set multinic0 up: the link is gone (no such device)",
		"address add 192.0.2.10/24 dev multinic0 noprefixroute: the link is gone (no such device)",
		"route replace 192.0.2.0/24 dev multinic0 table 1835925504 proto 109 scope link src 192.0.2.10: the link is gone (no such device)",
		"route replace default via 192.0.2.1 dev multinic0 table 1835925504 proto 109 src 192.0.2.10 onlink: the link is gone (no such device)",
		"route replace 192.0.2.0/24 dev multinic0 table 1835925503 proto 109 scope link src 192.0.2.10 metric 1: the link is gone (no such device)",
	}
	if got := strings.Join(failed, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("errors:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
	}
	if decision := e.decide(items).Decisions[0]; decision.Obstacle != plan.LinkNotFound {
		t.Errorf("the next plan: %+v", decision)
	}
}

func TestEachChangeCanBeMadeTwice(t *testing.T) {
	n := node.New(t, "node")
	n.PlugIn("eth1", mac0, nil)
	e := newExecutor(t, n)
	items := itemsOf([]oracle.Row{{MAC: mac0, Address: "192.0.2.10", Mask: "24", Gateway: "192.0.2.1", MTU: 1400}})
	changes := allChanges(e.decide(items))
	for range 2 {
		for _, change := range changes {
			must(t, e.kernel.Apply(change))
		}
	}
	e.claims[mac0] = plan.Claim{Name: "multinic0", VLANs: []int{0}}
	items[0].Spec = plan.Spec{}
	gone := allChanges(e.decide(items))
	if len(gone) == 0 {
		t.Fatal("nothing is to be taken away")
	}
	for range 2 {
		for _, change := range gone {
			must(t, e.kernel.Apply(change))
		}
	}
	if left := allChanges(e.decide(items)); len(left) != 0 {
		t.Errorf("left to do:\n%s", text(left))
	}
}

func TestWhatTheKernelRefusesIsSaidInWords(t *testing.T) {
	n := node.New(t, "node")
	n.PlugIn("eth1", mac0, nil)
	n.PlugIn("eth2", mac1, nil)
	e := newExecutor(t, n)
	kernel, err := e.kernel.Read(t.Context())
	must(t, err)
	index := 0
	for _, link := range kernel.Links {
		if link.Name == "eth1" {
			index = link.Index
		}
	}
	err = e.kernel.Apply(plan.Rename{Link: index, From: "eth1", To: "eth2"})
	if !errors.Is(err, unix.EEXIST) || err.Error() != "link set eth1 name eth2: file exists" {
		t.Errorf("error %v", err)
	}
	err = e.kernel.Apply(plan.SetMTU{Link: index, Name: "eth1", MTU: 1 << 20})
	if !errors.Is(err, unix.EINVAL) || err.Error() != "link set eth1 mtu 1048576: invalid argument" {
		t.Errorf("error %v", err)
	}
	err = e.kernel.Apply(plan.Set{Path: "core/somaxconn", Value: "1"})
	if err == nil || err.Error() != "sysctl net/core/somaxconn=1: /proc/sys/net/core/somaxconn is not among the settings of links" {
		t.Errorf("error %v", err)
	}
}
