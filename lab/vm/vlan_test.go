package vm_test

import (
	"slices"
	"strings"
	"testing"

	"multinic.dev/lab/fleet"
	"multinic.dev/testbed/monitor"
	"multinic.dev/testbed/oracle"
	"multinic.dev/testbed/snapshot"
)

// TestAVLANThatCannotBeMadeLeavesAllAsItWas on a card that has an address already, and on one that nobody has taken yet: where the kernel
// has no module for VLANs, until it has one; and where somebody has made a VLAN with that id by hand, until that is gone. Another row is
// carried out meanwhile.
func TestAVLANThatCannotBeMadeLeavesAllAsItWas(t *testing.T) {
	t.Parallel()
	onBothByBoth(t, setup{cards: 4}, func(t *testing.T, h *host) {
		t.Helper()
		rows := []fleet.Row{{Node: nodeName, MAC: mac(0), Address: "10.1.0.10", Mask: "24", Gateway: "10.1.0.1"}}
		h.fleet.Insert(rows...)
		h.node.StartExecutor()
		h.fleet.AwaitAll()
		tagged := func(card, vlan int, address string) fleet.Row {
			return fleet.Row{Node: nodeName, MAC: mac(card), VLAN: vlan, Address: address, Mask: "24"}
		}

		const noVLANs = "/etc/modprobe.d/no-vlans.conf"
		h.node.Write(noVLANs, 0o644, "install 8021q /bin/false\n")
		if out, code := h.node.Run("ip", "link", "add", "link", "eth0", "name", "try", "type", "vlan", "id", "7"); code == 0 {
			t.Fatalf("VLANs can be made all the same: %s", out)
		}
		const lack = ": this kernel has no 802.1Q VLANs: load its module 8021q, or use vlan 0"
		rows = h.cannot(t, "without 8021q", rows, lacking{
			good: fleet.Row{Node: nodeName, MAC: mac(1), Address: "10.2.0.10", Mask: "24"}, goodLinks: []string{"eth2", "multinic1"},
			bad: []fleet.Row{tagged(0, 30, "10.3.0.10"), tagged(2, 30, "10.4.0.10")},
			says: []string{
				"UNSUPPORTED VLAN_UNSUPPORTED: link add link multinic0 name multinic0.30 type vlan id 30" + lack,
				"UNSUPPORTED VLAN_UNSUPPORTED: link add link multinic2 name multinic2.30 type vlan id 30" + lack,
			},
			tried: []string{"eth3", "multinic2"}, // It is prepared, and put back.
			mend:  func() { h.node.MustRun("rm", noVLANs) },
		})
		h.cannot(t, "with an id that somebody has", rows, lacking{
			first: func() {
				h.node.MustRun("sh", "-ec", `ip -batch - <<END
link add link multinic0 name foo type vlan id 31
address add 10.9.0.1/24 dev foo
link set foo up
link add link eth4 name bar type vlan id 31
END
udevadm settle`)
			},
			good: tagged(1, 32, "10.6.0.10"), goodLinks: []string{"multinic1", "multinic1.32"},
			bad: []fleet.Row{tagged(0, 31, "10.5.0.10"), tagged(3, 31, "10.7.0.10")},
			says: []string{
				"REFUSED NAME_IN_USE: VLAN 31 on multinic0 (" + mac(0) + ") is there already as foo, which is not multinic's: delete that link, or choose another VLAN",
				"REFUSED LINK_IN_USE: eth4 (" + mac(3) + ") is in use by something else: it has the upper device bar; free the NIC first, or delete its row",
			},
			mend: func() { h.node.MustRun("sh", "-ec", "ip link delete foo; ip link delete bar") },
		})
	})
}

// lacking is why rows cannot be carried out.
type lacking struct {
	// first is done before; nil: nothing is.
	first func()
	// good is a row that can be carried out, and goodLinks are the links that its card has before and after, by their names.
	good      fleet.Row
	goodLinks []string
	// bad are the rows that cannot be, and says is what is said of each.
	bad  []fleet.Row
	says []string
	// tried are the links that something is done to in vain.
	tried []string
	// mend makes them such that they can be.
	mend func()
}

// cannot has a good and some bad rows come beside those that are true, says that the bad ones leave no trace, mends what is in their way,
// and returns all rows, which are true then.
func (h *host) cannot(t *testing.T, when string, rows []fleet.Row, l lacking) []fleet.Row {
	t.Helper()
	if l.first != nil {
		l.first()
	}
	const goodFiles = "*multinic1*"
	kernel, files, m := h.kernel(), h.files(goodFiles), h.listen()
	flags := strings.Repeat("1 ", len(rows)+1) + strings.TrimSpace(strings.Repeat("0 ", len(l.bad)))
	all := slices.Concat(rows, []fleet.Row{l.good}, l.bad)
	h.fleet.Rewrite(all...)
	h.fleet.AwaitFlags(flags)
	for i, row := range l.bad {
		said := func() string { return h.fleet.ResultOfVLAN(nodeName, row.MAC, uint32(row.VLAN)) }
		h.fleet.Until(func() bool { return said() == l.says[i] }, func() string { return when + ": of a bad row is said " + said() + ", not " + l.says[i] })
	}
	h.wantActivated(when)
	h.still(func() {
		for _, line := range snapshot.Differences(kernel, h.kernel(), l.goodLinks...) {
			if !strings.HasPrefix(line, "new: rule") || !strings.Contains(line, " src "+l.good.Address+" ") {
				t.Errorf("%s the kernel is otherwise than it was: %s", when, line)
			}
		}
		if is := h.files(goodFiles); is != files {
			t.Errorf("%s the files are\n%s\nand were\n%s", when, is, files)
		}
	})
	if is := h.fleet.Flags(); is != flags {
		t.Errorf("%s the flags are %s in the end", when, is)
	}
	events := moved(m.Mark(t))
	if heard := othersThan(slices.Concat(l.goodLinks, l.tried), events); len(heard) > 0 {
		t.Errorf("%s: %s", when, timed(heard))
	}
	for _, link := range slices.Concat(l.goodLinks[1:], l.tried) {
		if !slices.ContainsFunc(events, func(e monitor.Event) bool { return e.Link == link }) {
			t.Errorf("%s: nothing was heard of %s", when, link)
		}
	}

	l.mend()
	h.fleet.AwaitAll()
	h.right("no longer "+when, oracle.Expect{}, all...)

	return all
}

// othersThan are the events on others than some links, but for new rules.
func othersThan(links []string, events []monitor.Event) []monitor.Event {
	return slices.DeleteFunc(slices.Clone(events), func(e monitor.Event) bool {
		// The settings of a link that is just being made are told before its name.
		isOfNew := e.Kind == "setting new" && e.Link == ""

		return slices.Contains(links, e.Link) || e.Kind == "rule new" || isOfNew
	})
}

// kernel is all that the guest's kernel has.
func (h *host) kernel() snapshot.Snapshot {
	h.Helper()
	taken, err := snapshot.Take(h.Context(), h.node)
	if err != nil {
		h.Fatal(err)
	}

	return taken
}
