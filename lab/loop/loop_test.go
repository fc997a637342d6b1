package loop_test

import (
	"fmt"
	"strings"
	"testing"

	"multinic.dev/lab/fleet"
	"multinic.dev/testbed/monitor"
	"multinic.dev/testbed/node"
	"multinic.dev/testbed/oracle"
)

// mac is the address of a node's card: both numbers are below 256.
func mac(node, card int) string { return fmt.Sprintf("02:00:5e:10:%02x:%02x", node, card) }

// rowsOf are rows for cards of a node: each in a subnet of its own, with a gateway.
func rowsOf(number, cards int) []fleet.Row {
	var rows []fleet.Row
	for card := range cards {
		rows = append(rows, fleet.Row{
			Node: nodeName(number), MAC: mac(number, card), Address: fmt.Sprintf("10.%d.%d.10", number, card), Mask: "255.255.255.0",
			Gateway: fmt.Sprintf("10.%d.%d.1", number, card), DNS: "198.51.100.1, 198.51.100.2",
		})
	}
	return rows
}

func nodeName(number int) string { return fmt.Sprint("node-", number) }

// addNode adds a node with cards, of which none is configured.
func addNode(f *fleet.Fleet, number, cards int) *fleet.Node {
	n := f.AddNode(nodeName(number))
	// Or each link would give itself an IPv6 address some time after it came up, and say so, while a test listens for silence.
	n.Set("net/ipv6/conf/default/disable_ipv6", "1")
	for card := range cards {
		n.PlugIn(fmt.Sprint("ens", card), mac(number, card), nil)
	}
	return n
}

// running is a fleet of one node with cards, whose rows are committed.
func running(t *testing.T, cards int) (*fleet.Fleet, *fleet.Node, []fleet.Row) {
	t.Helper()
	f := newFleet(t)
	n, rows := addNode(f, 1, cards), rowsOf(1, cards)
	f.Insert(rows...)
	f.StartDispatcher()
	n.StartExecutor()
	f.AwaitAll()
	right(t, n, rows)
	return f, n, rows
}

// right fails the test where the oracle finds the node's kernel to be other than the rows say.
func right(t *testing.T, n *fleet.Node, rows []fleet.Row) {
	t.Helper()
	if wrong := n.Judge(oracle.Expect{}, rows...); wrong != "" {
		t.Errorf("the kernel of %s:\n%s", n.Name(), wrong)
	}
}

// silent fails the test where a node's kernel has said anything since the last mark.
func silent(t *testing.T, m *monitor.Monitor, during string) {
	t.Helper()
	if events := m.Mark(t); len(events) != 0 {
		t.Errorf("%s disturbed the node: %v", during, events)
	}
}

func TestRowsBecomeInterfacesAndSaySo(t *testing.T) {
	f := newFleet(t)
	f.SQL("ALTER TABLE multi_interface ADD COLUMN mtu INT")
	rows := append(rowsOf(1, 3), rowsOf(2, 2)...)
	rows[0].MTU = 1400
	rows[1].Gateway = ""
	rows = append(rows, fleet.Row{Node: nodeName(2), MAC: strings.ToUpper(mac(2, 2))}) // named and brought up, no more
	first, second := addNode(f, 1, 3), addNode(f, 2, 3)
	f.StartDispatcher()
	first.StartExecutor()
	second.StartExecutor()
	f.AwaitSession(first.Name())
	f.AwaitSession(second.Name())
	f.Insert(rows...)
	f.AwaitAll()
	rows[len(rows)-1].MAC = mac(2, 2)
	right(t, first, rows)
	right(t, second, rows)

	// The control: the oracle does not agree with just anything. The executor would put the rule back.
	if err := first.Executor.Stop(); err != nil {
		t.Fatal(err)
	}
	first.IP("rule", "delete", "pref", "25001", "from", rows[0].Address)
	if wrong := first.Judge(oracle.Expect{}, rows...); !strings.HasPrefix(wrong, "missing: rule 25001 from 10.1.0.10") {
		t.Errorf("a rule was taken away, and the oracle says %q", wrong)
	}
}

func TestRowsThatAreWrittenAnewDisturbNothing(t *testing.T) {
	f, n, rows := running(t, 3)
	m := monitor.Start(t, n.Node)
	m.Mark(t)
	for range 3 {
		f.Rewrite(rows...)
		f.AwaitAll()
	}
	silent(t, m, "writing the same rows anew")
	if got := f.Flags(); got != "1 1 1" {
		t.Errorf("flags %s", got)
	}
	// The control: something else is heard.
	changed := rows
	changed[2].Address = "10.1.2.99"
	f.Rewrite(changed...)
	f.AwaitAll()
	if events := m.Mark(t); len(events) == 0 {
		t.Error("a changed row is not heard either")
	}
	right(t, n, changed)
}

func TestAFlagThatIsSetBackIsProvedAndCommittedAnew(t *testing.T) {
	f, n, _ := running(t, 3)
	m := monitor.Start(t, n.Node)
	m.Mark(t)
	for range 3 {
		f.SQL("UPDATE multi_interface SET netplan_success = 0")
		f.AwaitAll()
	}
	silent(t, m, "setting flags back")
}

func TestAChangedRowLeavesNothingOfTheOldOne(t *testing.T) {
	f, n, rows := running(t, 2)
	m := monitor.Start(t, n.Node)
	for _, change := range []struct {
		name   string
		change func(*fleet.Row)
	}{
		{"another address", func(r *fleet.Row) { r.Address = "10.1.0.77" }},
		{"another subnet", func(r *fleet.Row) { r.Address, r.Gateway = "10.99.0.77", "10.99.0.1" }},
		{"a shorter prefix", func(r *fleet.Row) { r.Mask = "16" }},
		{"a longer prefix", func(r *fleet.Row) { r.Mask = "255.255.255.128" }},
		{"another gateway", func(r *fleet.Row) { r.Gateway = "10.99.0.2" }},
		{"no gateway", func(r *fleet.Row) { r.Gateway = "0.0.0.0" }},
		{"a single address", func(r *fleet.Row) { r.Mask, r.Gateway = "32", "10.99.0.1" }},
		{"no address", func(r *fleet.Row) { r.Address, r.Mask, r.Gateway = "", "", "" }},
		{"an address again", func(r *fleet.Row) { r.Address, r.Mask, r.Gateway = "10.1.0.10", "24", "10.1.0.1" }},
	} {
		m.Mark(t)
		change.change(&rows[0])
		f.SQL("DELETE FROM multi_interface WHERE mac_address = '" + rows[0].MAC + "'")
		f.Insert(rows[0])
		f.AwaitAll()
		right(t, n, rows)
		for _, event := range m.Mark(t) {
			if event.Link == "multinic1" {
				t.Errorf("%s on multinic0 disturbed multinic1: %v", change.name, event)
			}
		}
	}
}

func TestAChangedRowInPlaceIsFollowed(t *testing.T) {
	f, n, rows := running(t, 1)
	rows[0].Address = "10.1.0.50"
	// Its flag stays at 1: nobody asked for it to be proved, but it must come true all the same.
	f.SQL("UPDATE multi_interface SET ip_address = '10.1.0.50'")
	wrong := ""
	f.Until(func() bool { wrong = n.Judge(oracle.Expect{}, rows...); return wrong == "" }, func() string { return wrong })
}

func TestACardThatTheNodeUsesIsRefusedAndNotTouched(t *testing.T) {
	f := newFleet(t)
	n := addNode(f, 1, 2)
	wire := node.NewWire(t, "underlay")
	wire.AddHost("gateway", "192.0.2.1/24")
	n.Underlay("eth0", mac(1, 100), "192.0.2.10/24", "192.0.2.1", 100, wire)
	n.IP("address", "add", "203.0.113.5/24", "dev", "ens1")
	n.IP("link", "set", "ens1", "up")
	rows := append(rowsOf(1, 2), fleet.Row{Node: n.Name(), MAC: mac(1, 100), Address: "192.0.2.20", Mask: "24", Gateway: "192.0.2.1"})
	// A link says by itself, a moment after it came up, that it has a carrier.
	links := ""
	f.Until(func() bool { links = n.IP("link"); return strings.Count(links, " state UP ") == 2 }, func() string { return links })
	before := n.IP("-d", "address") + n.IP("route", "show", "table", "all", "dev", "eth0") + n.IP("route", "show", "table", "all", "dev", "ens1")
	m := monitor.Start(t, n.Node)
	n.IP("link", "set", "eth0", "mtu", "1500") // So that the monitor learns their names.
	n.IP("link", "set", "ens1", "mtu", "1500")
	m.Mark(t)

	f.Insert(rows...)
	f.StartDispatcher()
	n.StartExecutor()
	f.AwaitFlags("1 0 0")
	refused := f.AwaitResult(n.Name(), mac(1, 100), "REFUSED LINK_IN_USE: ")
	if !strings.Contains(refused, "eth0") {
		t.Errorf("refused: %s", refused)
	}
	f.AwaitResult(n.Name(), mac(1, 1), "REFUSED LINK_IN_USE: ")
	for _, event := range m.Mark(t) {
		if event.Link == "eth0" || event.Link == "ens1" {
			t.Errorf("a refused card was touched: %v", event)
		}
	}
	after := n.IP("-d", "address") + n.IP("route", "show", "table", "all", "dev", "eth0") + n.IP("route", "show", "table", "all", "dev", "ens1")
	if strip(before, "ens0", "multinic0") != strip(after, "ens0", "multinic0") {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	if wrong := n.Judge(oracle.Expect{Without: []string{mac(1, 1), mac(1, 100)}}, rows...); wrong != "" {
		t.Errorf("the good card beside them:\n%s", wrong)
	}

	// Once it is bare, it is taken, and nobody has to say so.
	n.IP("address", "flush", "dev", "ens1")
	f.AwaitFlags("1 1 0")
}

// strip leaves out what `ip` prints of some links: their own line, and those below it.
func strip(text string, links ...string) string {
	var kept []string
	skip := false
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, " ") {
			skip = false
			for _, link := range links {
				skip = skip || strings.Contains(line, ": "+link+"@") || strings.Contains(line, ": "+link+":")
			}
		}
		if !skip {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

func TestRestartsDisturbNothing(t *testing.T) {
	f, n, rows := running(t, 3)
	m := monitor.Start(t, n.Node)
	m.Mark(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, restart := range []struct {
		name string
		do   func()
	}{
		{"the executor's restart", func() { must(n.Executor.Stop()); n.StartExecutor() }},
		{"the executor's kill", func() { must(n.Executor.Kill()); n.StartExecutor() }},
		{"the dispatcher's restart", func() { must(f.Dispatcher.Stop()); f.StartDispatcher() }},
		{"the dispatcher's kill", func() { must(f.Dispatcher.Kill()); f.StartDispatcher() }},
		{"the database's restart", func() { must(f.DB.Restart()) }},
		{"the database's kill", func() { must(f.DB.Kill()); must(f.DB.Restart()) }},
		{"everything's kill", func() {
			must(n.Executor.Kill())
			must(f.DB.Kill())
			must(f.Dispatcher.Kill())
			f.StartDispatcher()
			n.StartExecutor()
			must(f.DB.Restart())
		}},
	} {
		restart.do()
		// All of it works again: a flag that is set back comes back to 1.
		f.SQL("UPDATE multi_interface SET netplan_success = 0")
		f.AwaitAll()
		silent(t, m, restart.name)
		right(t, n, rows)
	}
	// And what changed while everything was down is done.
	must(n.Executor.Kill())
	must(f.Dispatcher.Kill())
	rows[0].Address = "10.1.0.44"
	f.Rewrite(rows...)
	f.StartDispatcher()
	n.StartExecutor()
	f.AwaitAll()
	right(t, n, rows)
}

func TestACardIsConfiguredWhenItIsPluggedIn(t *testing.T) {
	f, n, rows := running(t, 1)
	late := fleet.Row{Node: n.Name(), MAC: mac(1, 9), Address: "10.1.9.10", Mask: "24"}
	f.Insert(late)
	f.AwaitResult(n.Name(), late.MAC, "WAITING_FOR_LINK LINK_NOT_FOUND: ")
	n.PlugIn("ens9", late.MAC, nil)
	f.AwaitAll()
	right(t, n, append(rows, late))
}

func TestABadRowHoldsUpNobody(t *testing.T) {
	f, n, rows := running(t, 2)
	m := monitor.Start(t, n.Node)
	m.Mark(t)
	f.SQL("UPDATE multi_interface SET ip_address = '10.1.0.x', netplan_success = 0 WHERE mac_address = '" + rows[0].MAC + "'")
	f.SQL("UPDATE multi_interface SET netplan_success = 0 WHERE mac_address = '" + rows[1].MAC + "'")
	f.AwaitFlags("0 1")
	silent(t, m, "a typo in a row")
	right(t, n, rows)
	message := f.View(n.Name()).GetRows()[0].GetMessage()
	if message != `ip_address "10.1.0.x": that is no IPv4 address: write it like 192.0.2.10, or leave it empty for none` {
		t.Errorf("the row's message is %s", message)
	}
}
