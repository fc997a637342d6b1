package link_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"multinic.dev/executor/internal/link"
	"multinic.dev/executor/internal/plan"
	"multinic.dev/testbed/monitor"
	"multinic.dev/testbed/node"
	"multinic.dev/testbed/oracle"
	"multinic.dev/testbed/uml"
)

func TestMain(m *testing.M) { uml.Main(m) }

const (
	mac0 = "02:00:00:00:00:01"
	mac1 = "02:00:00:00:00:02"
	mac2 = "02:00:00:00:00:03"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open opens the kernel of a node until the test ends. What is opened inside the node is used outside of it from then on.
func open(t *testing.T, n *node.Node) *link.Kernel {
	t.Helper()
	var k *link.Kernel
	must(t, n.Do(func() (err error) {
		k, err = link.Open("/")
		return err
	}))
	t.Cleanup(k.Close)
	return k
}

// executor plays the worker of a node: it decides and applies, and keeps the claims.
type executor struct {
	t      *testing.T
	kernel *link.Kernel
	claims plan.Claims
}

func newExecutor(t *testing.T, n *node.Node) *executor {
	t.Helper()
	return &executor{t: t, kernel: open(t, n), claims: plan.Claims{}}
}

func (e *executor) decide(items []plan.Item) plan.Plan {
	e.t.Helper()
	kernel, err := e.kernel.Read(e.t.Context())
	must(e.t, err)
	return plan.Decide(items, e.claims, kernel)
}

func allChanges(p plan.Plan) []plan.Change {
	var changes []plan.Change
	for _, decision := range p.Decisions {
		changes = append(changes, decision.Changes...)
	}
	return append(changes, p.Shared...)
}

// mostPlans is how many plans it may take until nothing is left to do, the last and empty one among them.
const mostPlans = 4

// apply makes the kernel what the items ask for and returns the decisions and how many plans it took.
func (e *executor) apply(items []plan.Item) ([]plan.Decision, int) {
	e.t.Helper()
	for plans := 1; ; plans++ {
		p := e.decide(items)
		changes := allChanges(p)
		if len(changes) == 0 {
			return p.Decisions, plans
		}
		if plans == mostPlans {
			e.t.Fatalf("plan %d still wants changes:\n%s", plans, text(changes))
		}
		for _, decision := range p.Decisions {
			if decision.Obstacle == plan.None {
				e.claims[decision.Item.Key.MAC] = plan.Claim{Name: decision.NIC, VLANs: []int{0}}
			}
		}
		for _, change := range changes {
			must(e.t, e.kernel.Apply(change))
		}
	}
}

func text(changes []plan.Change) string {
	var lines []string
	for _, change := range changes {
		lines = append(lines, change.String())
	}
	return strings.Join(lines, "\n")
}

// itemOf is the item of a row; oracle.Row is what the oracle wants to hear of the same.
func itemOf(row oracle.Row) plan.Item {
	item := plan.Item{Key: plan.Key{MAC: row.MAC}, Spec: plan.Spec{MTU: row.MTU}}
	if row.Address != "" {
		item.Spec.Address = netip.MustParsePrefix(row.Address + "/" + row.Mask)
	}
	if row.Gateway != "" {
		item.Spec.Gateway = netip.MustParseAddr(row.Gateway)
	}
	return item
}

func itemsOf(rows []oracle.Row) []plan.Item {
	var items []plan.Item
	for _, row := range rows {
		items = append(items, itemOf(row))
	}
	return items
}

func judge(t *testing.T, n *node.Node, rows []oracle.Row, expect oracle.Expect) {
	t.Helper()
	wrong, err := oracle.Check(t.Context(), n, rows, expect)
	must(t, err)
	for _, sentence := range wrong {
		t.Error(sentence)
	}
}

// on are the events of one link.
func on(events []monitor.Event, link string) []monitor.Event {
	return slices.DeleteFunc(slices.Clone(events), func(e monitor.Event) bool { return e.Link != link })
}

// TestANodesLife goes with one node through all that rows can ask for: after each step the oracle finds the kernel exactly
// as the rows say, a second look changes nothing, and eth0, in the same subnet, has heard of nothing.
func TestANodesLife(t *testing.T) {
	n := node.New(t, "node")
	w := node.NewWire(t, "wire")
	n.Underlay("eth0", "02:00:00:00:00:10", "192.0.2.5/24", "192.0.2.1", 100, w)
	n.PlugIn("eth2", mac1, w)
	n.PlugIn("eth1", mac0, w)
	m := monitor.Start(t, n)
	n.IP("link", "set", "eth0", "mtu", "1499") // So that the monitor knows the name.
	if len(on(m.Mark(t), "eth0")) == 0 {
		t.Fatal("the monitor does not hear eth0")
	}
	e := newExecutor(t, n)
	names := map[string]string{mac0: "multinic0", mac1: "multinic1"}
	for _, step := range []struct {
		name  string
		rows  []oracle.Row
		plans int
	}{
		{"first", []oracle.Row{
			{MAC: mac1, Address: "192.0.2.11", Mask: "24"},
			{MAC: mac0, Address: "192.0.2.10", Mask: "24", Gateway: "192.0.2.1", MTU: 1400},
		}, 2},
		{"another address of the subnet", []oracle.Row{
			{MAC: mac1, Address: "192.0.2.11", Mask: "24"},
			{MAC: mac0, Address: "192.0.2.12", Mask: "24", Gateway: "192.0.2.1", MTU: 1400},
		}, 2},
		{"addresses exchanged", []oracle.Row{
			{MAC: mac1, Address: "192.0.2.12", Mask: "24"},
			{MAC: mac0, Address: "192.0.2.11", Mask: "24", Gateway: "192.0.2.1", MTU: 1400},
		}, 2},
		{"another subnet", []oracle.Row{
			{MAC: mac1, Address: "192.0.2.12", Mask: "24"},
			{MAC: mac0, Address: "198.51.100.10", Mask: "24", Gateway: "198.51.100.1", MTU: 1400},
		}, 2},
		{"a longer prefix of the same address", []oracle.Row{
			{MAC: mac1, Address: "192.0.2.12", Mask: "24"},
			{MAC: mac0, Address: "198.51.100.10", Mask: "25", Gateway: "198.51.100.1", MTU: 1400},
		}, 2},
		{"a shorter one", []oracle.Row{
			{MAC: mac1, Address: "192.0.2.12", Mask: "24"},
			{MAC: mac0, Address: "198.51.100.10", Mask: "16", Gateway: "198.51.0.1", MTU: 1400},
		}, 2},
		{"a /32", []oracle.Row{
			{MAC: mac1, Address: "192.0.2.12", Mask: "24"},
			{MAC: mac0, Address: "198.51.100.10", Mask: "32", Gateway: "203.0.113.1", MTU: 1400},
		}, 2},
		{"a /32 without gateway", []oracle.Row{
			{MAC: mac1, Address: "192.0.2.12", Mask: "24"},
			{MAC: mac0, Address: "198.51.100.10", Mask: "32", MTU: 1400},
		}, 2},
		{"a /31", []oracle.Row{
			{MAC: mac1, Address: "192.0.2.12", Mask: "24"},
			{MAC: mac0, Address: "198.51.100.10", Mask: "31", Gateway: "198.51.100.11", MTU: 1400},
		}, 2},
		{"another gateway and MTU", []oracle.Row{
			{MAC: mac1, Address: "192.0.2.12", Mask: "24", Gateway: "192.0.2.254", MTU: 1300},
			{MAC: mac0, Address: "198.51.100.10", Mask: "31", MTU: 1000},
		}, 2},
		{"one without address", []oracle.Row{
			{MAC: mac1, Address: "192.0.2.12", Mask: "24", Gateway: "192.0.2.254", MTU: 1300},
			{MAC: mac0, MTU: 1500},
		}, 2},
		{"none with an address", []oracle.Row{{MAC: mac1}, {MAC: mac0}}, 2},
		{"and back", []oracle.Row{
			{MAC: mac1, Address: "192.0.2.11", Mask: "24"},
			{MAC: mac0, Address: "192.0.2.10", Mask: "24", Gateway: "192.0.2.1", MTU: 1400},
		}, 2},
	} {
		t.Run(step.name, func(t *testing.T) {
			e.t = t
			decisions, plans := e.apply(itemsOf(step.rows))
			for _, decision := range decisions {
				if decision.Obstacle != plan.None {
					t.Errorf("%s: %s", decision.Item.Key.MAC, decision.Message)
				}
			}
			if plans > step.plans {
				t.Errorf("it took %d plans, not %d", plans, step.plans)
			}
			judge(t, n, step.rows, oracle.Expect{Names: names})
			events := m.Mark(t)
			if len(events) == 0 {
				t.Error("the monitor has heard nothing of the changes")
			}
			if foreign := on(events, "eth0"); len(foreign) != 0 {
				t.Errorf("events on eth0: %v", foreign)
			}
			e.apply(itemsOf(step.rows))
			if events := m.Mark(t); len(events) != 0 {
				t.Errorf("events of what is so already: %v", events)
			}
		})
	}
}

func TestAnAddressHasItsBroadcastAddressUnlessItsSubnetHasNone(t *testing.T) {
	n := node.New(t, "node")
	n.PlugIn("eth1", mac0, nil)
	n.PlugIn("eth2", mac1, nil)
	newExecutor(t, n).apply(itemsOf([]oracle.Row{{MAC: mac0, Address: "192.0.2.10", Mask: "26"}, {MAC: mac1, Address: "198.51.100.10", Mask: "31"}}))
	for device, want := range map[string]string{
		"multinic0": "inet 192.0.2.10/26 brd 192.0.2.63 scope global noprefixroute multinic0",
		"multinic1": "inet 198.51.100.10/31 scope global noprefixroute multinic1",
	} {
		if got := n.IP("-4", "-o", "address", "show", "dev", device); !strings.Contains(got, want) {
			t.Errorf("%s has %s, want %s", device, got, want)
		}
	}
}
