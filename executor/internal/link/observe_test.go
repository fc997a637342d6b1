package link_test

import (
	"slices"
	"strings"
	"testing"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/testbed/node"
	"multinic.dev/testbed/oracle"
)

// TestWhatIsObservedIsWordedAsIPDoes compares with what `ip` prints.
func TestWhatIsObservedIsWordedAsIPDoes(t *testing.T) {
	n := node.New(t, "node")
	n.PlugIn("eth1", mac0, nil)
	n.PlugIn("eth2", mac1, nil)
	e := newExecutor(t, n)
	decisions, _ := e.apply(itemsOf([]oracle.Row{
		{MAC: mac0, Address: "192.0.2.10", Mask: "24"},
		{MAC: mac1, Address: "198.51.100.10", Mask: "32", Gateway: "203.0.113.1", MTU: 1400},
	}))
	n.IP("route", "add", "203.0.113.0/24", "dev", "multinic1", "table", "1835929600", "metric", "7")
	n.IP("rule", "add", "pref", "77", "from", "198.51.100.10", "lookup", "main")
	n.IP("rule", "add", "pref", "78", "from", "198.51.100.10", "lookup", "1835929600", "protocol", "boot")
	n.IP("route", "add", "blackhole", "203.0.113.0/24", "table", "77")
	kernel, err := e.kernel.Read(t.Context())
	must(t, err)
	got := plan.Observe(kernel, decisions[1].Link, "multinic1")

	var routes, rules []string
	for line := range strings.Lines(n.IP("-4", "route", "show", "table", "all", "dev", "multinic1")) {
		// Where the link is given, `ip` leaves it out.
		if to, rest, ok := strings.Cut(strings.TrimSpace(line), " table "); ok && !strings.Contains(rest, "local") {
			routes = append(routes, to+" dev multinic1 table "+rest)
		}
	}
	for line := range strings.Lines(n.IP("-4", "rule", "show")) {
		if strings.Contains(line, "198.51.100.10") {
			rules = append(rules, strings.Join(strings.Fields(line), " "))
		}
	}
	slices.Sort(routes)
	if len(routes) != 4 || len(rules) != 5 {
		t.Fatalf("`ip` prints routes %q and rules %q", routes, rules)
	}
	if !slices.Equal(got.Routes, routes) {
		t.Errorf("routes\n%s\nwant\n%s", strings.Join(got.Routes, "\n"), strings.Join(routes, "\n"))
	}
	if !slices.Equal(got.Rules, rules) {
		t.Errorf("rules\n%s\nwant\n%s", strings.Join(got.Rules, "\n"), strings.Join(rules, "\n"))
	}
	if got.Link != decisions[1].Link || !got.Up || got.MTU != 1400 || !slices.Equal(got.Addresses, []string{"198.51.100.10/32"}) {
		t.Errorf("observed %+v", got)
	}
}
