package link_test

import (
	"testing"

	"multinic.dev/testbed/node"
	"multinic.dev/testbed/oracle"
)

// TestAForeignRuleGoesOnBeingAskedFirst has somebody's rule as `ip rule add` makes it: without a preference, to which the kernel
// gives the highest that is free, 32765.
func TestAForeignRuleGoesOnBeingAskedFirst(t *testing.T) {
	n := node.New(t, "node")
	const own = "192.0.2.5"
	n.Underlay("eth0", "02:00:00:00:00:10", own+"/24", "192.0.2.1", 100, node.NewWire(t, "wire"))
	n.PlugIn("eth1", mac0, nil)
	n.AddPod("wg0", "10.5.0.7/24")
	n.IP("route", "add", "10.6.0.0/16", "via", "192.0.2.1", "dev", "eth0")
	n.IP("route", "add", "default", "dev", "pod-wg0", "table", "55")
	ask := func() string { return n.IP("route", "get", "10.6.0.1", "from", own) }
	without := ask()
	n.IP("rule", "add", "from", own, "to", "10.6.0.0/16", "table", "55")
	with := ask()
	if with == without {
		t.Fatalf("the rule makes no difference: %s", with)
	}

	e := newExecutor(t, n)
	rows := []oracle.Row{{MAC: mac0, Address: "198.51.100.10", Mask: "24"}}
	apply := func(when string) {
		t.Helper()
		e.apply(itemsOf(rows))
		if left := allChanges(e.decide(itemsOf(rows))); len(left) > 0 {
			t.Errorf("%s there is still to be done:\n%s", when, text(left))
		}
	}
	apply("beside a rule of the kernel's choice")
	if got := ask(); got != with {
		t.Errorf("with it first\n%s\nand with ours\n%s\nRules:\n%s", with, got, n.IP("rule"))
	}

	// One that comes later, with the very preference, has ours step behind it.
	n.IP("rule", "delete", "from", own, "to", "10.6.0.0/16", "table", "55")
	apply("without it")
	n.IP("rule", "add", "pref", "32764", "from", own, "to", "10.6.0.0/16", "table", "55")
	if got := ask(); got == with {
		t.Fatalf("a rule that was added after one with its preference is asked before it: %s", got)
	}
	apply("beside a rule of its own preference")
	if got := ask(); got != with {
		t.Errorf("with it first\n%s\nand with ours, which had to move\n%s\nRules:\n%s", with, got, n.IP("rule"))
	}
}
