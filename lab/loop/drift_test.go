package loop_test

import (
	"fmt"
	"strings"
	"testing"

	"multinic.dev/lab/fleet"
	"multinic.dev/testbed/monitor"
	"multinic.dev/testbed/oracle"
)

// applies is how many changes of an interface a node's executor has made by now, by its log.
func applies(log string) int { return strings.Count(log, `"msg":"apply finished"`) }

// TestWhatIsChangedByHandIsRepairedAtOnceAndOnce counts repairs, and what else on the node hears of them. Each has a card of its own:
// one that is changed again and again is left alone for a while.
func TestWhatIsChangedByHandIsRepairedAtOnceAndOnce(t *testing.T) {
	hands := []string{
		"address delete 10.1.%d.10/24 dev multinic%[1]d",
		"address add 10.9.9.9/24 dev multinic%d",
		"link set multinic%d down",
		"link set multinic%d name by-hand",
		"route flush table %[2]d",
		"rule delete pref 25001 from 10.1.%d.10",
		"link set multinic%d mtu 1300",
		"link set multinic%d mtu 1200", // Its row asks for none.
		"rule delete pref 32764",       // It is no interface's.
	}
	f := newFleet(t)
	f.SQL("ALTER TABLE multi_interface ADD COLUMN mtu INT")
	n, rows := addNode(f, 1, len(hands)), rowsOf(1, len(hands))
	rows[6].MTU = 1400
	f.Insert(rows...)
	f.StartDispatcher()
	n.StartExecutor()
	f.AwaitAll()
	m := listen(t, n)
	for i, words := range hands {
		hand, _, _ := strings.Cut(fmt.Sprintf(words, i, 0x6d6e0000+4096*i), "%!") // Without what it has no use for.
		t.Run(hand, func(t *testing.T) {
			m.Mark(t)
			before := applies(n.Executor.Log())
			n.IP(strings.Fields(hand)...)
			wrong := ""
			f.Until(func() bool { wrong = judged(n, rows); return wrong == "" }, func() string { return "still not repaired:\n" + wrong })
			n.IP("link", "set", "lo", "mtu", "60000") // A sign that wakes the executor: it has nothing left to do.
			n.IP("link", "set", "lo", "mtu", "65536")
			f.AwaitResult(n.Name(), mac(1, i), "READY")
			wanted := 1
			if strings.Contains(hand, "mtu 1200") || strings.Contains(hand, "32764") {
				wanted = 0
			}
			// It says so after it has done it.
			f.Until(func() bool { return applies(n.Executor.Log())-before >= wanted }, func() string { return "no repair was said to be done" })
			if got := applies(n.Executor.Log()) - before; got != wanted {
				t.Errorf("%d repairs, want %d", got, wanted)
			}
			for _, event := range m.Mark(t) {
				if event.Link != "" && event.Link != "lo" && event.Link != "by-hand" && event.Link != fmt.Sprint("multinic", i) {
					t.Errorf("the repair has disturbed another link: %v", event)
				}
			}
		})
	}
}

// TestACardThatIsPluggedInAgainHasTheSameNameAndConfiguration takes a card away, and gives it back under another name and index.
func TestACardThatIsPluggedInAgainHasTheSameNameAndConfiguration(t *testing.T) {
	f := newFleet(t)
	n, rows := addNode(f, 1, 1), rowsOf(1, 2)
	f.Insert(rows...)
	f.StartDispatcher()
	n.StartExecutor()
	f.AwaitResult(n.Name(), mac(1, 1), "WAITING_FOR_LINK LINK_NOT_FOUND")
	card := n.PlugIn("late", mac(1, 1), nil)
	f.AwaitAll()
	right(t, n, rows)
	for round := range 3 {
		card.Unplug()
		f.AwaitResult(n.Name(), mac(1, 1), "WAITING_FOR_LINK LINK_NOT_FOUND")
		if name := f.View(n.Name()).GetInterfaces()[1].GetResult().GetInterfaceName(); name != "multinic1" {
			t.Errorf("without its card the interface is %q", name)
		}
		card = n.PlugIn(fmt.Sprint("again", round), mac(1, 1), nil)
		f.AwaitResult(n.Name(), mac(1, 1), "READY")
		right(t, n, rows)
	}
	f.AwaitAll()
}

// listen listens to a node from now on. A link says once more, and late, that it is up: a monitor tells that from news of links that it
// has heard of before.
func listen(t *testing.T, n *fleet.Node) *monitor.Monitor {
	t.Helper()
	m := monitor.Start(t, n.Node)
	for line := range strings.Lines(n.IP("-o", "link")) {
		name, _, _ := strings.Cut(strings.TrimSuffix(strings.Fields(line)[1], ":"), "@")
		n.IP("link", "set", name, "alias", "known to the monitor")
		n.IP("link", "set", name, "alias", "")
	}
	m.Mark(t)

	return m
}

// judged is what the oracle finds wrong with a node whose cards have the names of their order.
func judged(n *fleet.Node, rows []fleet.Row) string { return n.Judge(oracle.Expect{}, rows...) }
