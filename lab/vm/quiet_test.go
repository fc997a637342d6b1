package vm_test

import (
	"slices"
	"strings"
	"testing"

	"multinic.dev/lab/fleet"
	"multinic.dev/testbed/monitor"
)

// cni gives the host what a CNI plugin and an operator have there: a bridge with pods, routes in several tables and of several kinds,
// rules of several kinds, and an address that was put there by hand.
func (h *host) cni() {
	h.Helper()
	h.node.MustRun("sh", "-ec", `
# With a delay the bridge would speak of each of its ports once more, when that is over.
ip link add cni0 type bridge forward_delay 0
for pod in 1 2; do
  ip netns add pod$pod
  ip link add veth$pod type veth peer name eth0 netns pod$pod
  ip link set veth$pod master cni0 up
  ip -n pod$pod address add 10.244.1.$((pod + 4))/24 dev eth0
  ip -n pod$pod link set eth0 up
done
ip link set cni0 up
ip -batch - <<END
address add 10.244.1.1/24 dev cni0
address add 192.0.2.77/32 dev eth0
route add 10.245.0.0/16 via 192.0.2.1 dev eth0 table 100 proto static
route add 10.248.0.0/16 via 10.244.1.5 dev cni0 table 4000
route add blackhole 10.244.9.0/26 proto 80
route add unreachable 10.246.0.0/16 table 100
route add 10.247.0.0/16 nexthop via 192.0.2.1 dev eth0 nexthop via 10.244.1.6 dev cni0
rule add fwmark 0x200/0xf00 lookup 100 pref 9
rule add from 10.244.0.0/16 lookup 100 pref 111
rule add from all to 10.245.0.0/16 lookup 100 pref 110
END
udevadm settle
# Each link's own address is there when it has made sure that nobody else has it.
while ip -6 address show tentative | grep -q inet6; do sleep 0.1; done`)
}

// foreign are the events of others than the host's cards that are multinic's, whatever they are called, and of other rules than those
// that it has.
func foreign(events []monitor.Event) []monitor.Event {
	cards := []string{"eth1", "eth2"}
	ours := []string{"preference 25000", "preference 25001", "preference 25002", "preference 32764", "preference 32765"}

	return slices.DeleteFunc(events, func(e monitor.Event) bool {
		return strings.HasPrefix(e.Link, "multinic") || slices.Contains(cards, e.Link) || strings.HasPrefix(e.Kind, "rule") && slices.Contains(ours, e.Text)
	})
}

// files are all in /etc but for those whose paths fit a pattern, with what would show that one was written anew.
func (h *host) files(but string) string {
	h.Helper()

	return h.node.MustRun("sh", "-ec", `cd /etc
find . -path '`+but+`' -o -type d -printf '%p %m %u\n' -o -printf '%p %y %m %u %i %T@ %C@ %l\n' | sort
find . -path '`+but+`' -o -type f -print0 | sort -z | xargs -0 sha256sum`)
}

// state is what a person would look at of what is foreign.
func (h *host) state() []string {
	h.Helper()
	all := h.node.MustRun("sh", "-ec", `
ip -o -4 address | sed -n 's/^[0-9]*: *\([^ ]*\)  *\(inet [^ ]*\).*/address \2 dev \1/p'
ip -o rule | sed 's/^/rule /'
ip -o -4 route show table all | sed 's/^/route /'`)

	return slices.DeleteFunc(strings.Split(all, "\n"), func(line string) bool {
		return strings.Contains(line, "multinic") || strings.Contains(line, "1835") || strings.Contains(line, "suppress_prefixlength")
	})
}

// TestNothingForeignHearsOfIt through a first apply, a change, a no-op, a failure with its undoing, a change right after a daemon-reload,
// which has Netplan's files of the host generated anew, a crash in the middle with its recovery, a restart, and a removal; where the host's
// own address and default route are written down and, with MULTINIC_TEST_VM=all, where they come by DHCP. The control is what plain `netplan apply` does to the same
// host.
func TestNothingForeignHearsOfIt(t *testing.T) {
	t.Parallel()
	for what, byDHCP := range map[string]bool{"static": false, "by DHCP": true} {
		if byDHCP && !all() {
			continue
		}
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			onBothByBoth(t, setup{cards: 2, byDHCP: byDHCP}, nothingForeignHears)
		})
	}
}

// ours are the paths of multinic's own files.
const ours = "*multinic*"

func nothingForeignHears(t *testing.T, h *host) {
	t.Helper()
	h.cni()
	rows := []fleet.Row{
		{Node: nodeName, MAC: mac(0), Address: "10.1.0.10", Mask: "24", Gateway: "10.1.0.1"},
		{Node: nodeName, MAC: mac(1), Address: "10.2.0.10", Mask: "24"},
	}
	h.wire.AddHost(h.name("neighbour"), "10.1.0.99/24")
	files, state := h.files(ours), h.state()
	if !slices.ContainsFunc(state, func(line string) bool { return strings.HasPrefix(line, "route default via 192.0.2.1 dev eth0") }) {
		t.Fatalf("the host has no default route: %s", strings.Join(state, "\n"))
	}
	m := h.listen()
	quiet := func(when string) []monitor.Event {
		t.Helper()
		events := m.Mark(t)
		if heard := foreign(slices.Clone(events)); len(heard) > 0 {
			t.Errorf("%s: %s", when, timed(heard))
		}
		if is := h.files(ours); is != files {
			t.Errorf("%s: the files of others are\n%s\nand were\n%s", when, is, files)
		}

		return events
	}
	set := func(what string) {
		h.fleet.SQL("UPDATE multi_interface SET " + what + " WHERE mac_address = '" + mac(0) + "'")
	}

	h.fleet.Insert(rows...)
	h.node.StartExecutor()
	h.fleet.AwaitAll()
	h.wantActivated("first apply")
	if len(quiet("first apply")) == 0 {
		t.Error("the monitor has not heard of a first apply")
	}
	set("ip_address = '10.1.0.11', netplan_success = 0")
	h.fleet.AwaitAll()
	h.wantActivated("a change")
	quiet("a change")
	rows[0].Address = "10.1.0.11"
	h.fleet.Rewrite(rows...)
	h.fleet.AwaitAll()
	if events := moved(quiet("a no-op")); len(events) > 0 {
		t.Errorf("a no-op: %s", timed(events))
	}
	set("ip_address = '10.1.0.99'")
	h.fleet.AwaitResult(nodeName, mac(0), "FAILED ADDRESS_IN_USE")
	quiet("a failure")
	h.node.MustRun("systemctl", "daemon-reload")
	set("ip_address = '10.1.0.12', netplan_success = 0")
	h.fleet.AwaitAll()
	if got := h.fleet.View(nodeName).GetFacts().GetActivation(); got != "kernel" {
		t.Errorf("after a daemon-reload it was made live by %q", got)
	}
	quiet("a change after a daemon-reload")

	h.crashIn(func() { set("ip_address = '10.1.0.13', netplan_success = 0") })
	quiet("a crash")
	h.node.StartExecutor()
	h.fleet.AwaitAll()
	quiet("a recovery")
	h.restart()
	h.fleet.AwaitAll()
	if events := moved(quiet("a restart")); len(events) > 0 {
		t.Errorf("a restart: %s", timed(events))
	}
	h.fleet.SQL("DELETE FROM multi_interface WHERE mac_address = '" + mac(1) + "'")
	h.fleet.Until(func() bool { return len(h.fleet.View(nodeName).GetInterfaces()) == 1 }, func() string { return h.fleet.View(nodeName).String() })
	quiet("a removal")
	if is := h.state(); !slices.Equal(is, state) {
		t.Errorf("what is foreign was\n%s\nand is\n%s", strings.Join(state, "\n"), strings.Join(is, "\n"))
	}

	h.node.MustRun("netplan", "apply")
	h.node.Configured("eth0")
	heard := foreign(m.Mark(t))
	if len(heard) == 0 {
		t.Error("plain netplan apply does nothing to what is foreign, so silence proves nothing")
	}
	is := h.state()
	t.Logf("plain netplan apply: %d events of what is foreign, and gone are: %s", len(heard),
		strings.Join(slices.DeleteFunc(state, func(line string) bool { return slices.Contains(is, line) }), "; "))
}

// crashIn has the executor killed in the middle of the transaction that something makes it begin.
func (h *host) crashIn(begin func()) {
	h.Helper()
	killer := h.node.Spawn("sh", "-c", "until test -e "+journal+"; do sleep 0.01; done; kill -9 $(pidof multinic-executor); test -e "+journal)
	begin()
	if code, err := killer.Wait(patience); code != 0 || err != nil {
		h.Fatalf("the executor was not killed in a transaction: code %d, error %v: %s", code, err, killer.Log())
	}
	if code, err := h.node.Executor.Wait(patience); code != 128+9 || err != nil {
		h.Fatalf("the executor ended with code %d, error %v", code, err)
	}
}
