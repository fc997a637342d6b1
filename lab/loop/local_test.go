package loop_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"multinic.dev/lab/fleet"
	multinicv1 "multinic.dev/proto/multinic/v1"
	"multinic.dev/testbed/monitor"
	"multinic.dev/testbed/node"
	"multinic.dev/testbed/snapshot"
)

// take is the whole network state of a node.
func take(t *testing.T, n *fleet.Node) snapshot.Snapshot {
	t.Helper()
	taken, err := snapshot.Take(t.Context(), n.Node)
	if err != nil {
		t.Fatal(err)
	}

	return taken
}

// same fails the test where a node's state is not what it was.
func same(t *testing.T, before, after snapshot.Snapshot) {
	t.Helper()
	for _, difference := range snapshot.Differences(before, after) {
		t.Errorf("not as it was: %s", difference)
	}
}

// unguarded lets any share of a fleet be changed at once.
const unguarded = "--guard-share=100%"

// TestCleanupLeavesTheNodeAsItWas has cards that were up, one with an MTU and a setting of its own, and a network of the node's own
// beside them.
func TestCleanupLeavesTheNodeAsItWas(t *testing.T) {
	f := newFleet(t)
	n, rows := addNode(f, 1, 4), rowsOf(1, 3)
	n.Underlay("eth0", mac(1, 99), "192.0.2.10/24", "192.0.2.1", 100, node.NewWire(t, "underlay"))
	n.IP("link", "set", "ens1", "mtu", "9000", "up")
	n.Set("net/ipv4/conf/ens1/rp_filter", "1")
	before := take(t, n)
	f.Insert(rows...)
	f.StartDispatcher()
	n.StartExecutor()
	f.AwaitAll()

	if out, err := n.Local("cleanup"); err == nil || !strings.Contains(out, "another executor is using it: stop that one") {
		t.Errorf("beside a running executor: %v, %s", err, out)
	}
	status, err := n.Local("status")
	if err != nil {
		t.Fatalf("%v: %s", err, status)
	}
	for _, want := range []string{
		"multinic0  MAC " + mac(1, 0) + "  as proved\n", "  address 10.1.0.10/24\n", "  rule 25000: from 10.1.0.10 lookup 1835925504 suppress_prefixlength 0 proto 109\n",
		"  route default via 10.1.0.1 dev multinic0 table 1835925504 proto 109 src 10.1.0.10 onlink\n", "multinic2  MAC " + mac(1, 2) + "  as proved\n",
		"shared rule 32764: from all lookup main suppress_prefixlength 0 proto 109\n",
	} {
		if !strings.Contains(status, want) {
			t.Errorf("status lacks %q:\n%s", want, status)
		}
	}
	if err := n.Executor.Stop(); err != nil {
		t.Fatal(err)
	}
	n.IP("link", "set", "multinic2", "down")
	if status, err = n.Local("status"); err != nil || !strings.Contains(status, "multinic2  MAC "+mac(1, 2)+"  not as proved\n") ||
		!strings.Contains(status, "  differs: link set multinic2 up\n") {
		t.Errorf("status of a link that is down: %v\n%s", err, status)
	}
	if len(snapshot.Differences(before, take(t, n))) == 0 {
		t.Error("the snapshots show nothing of all that")
	}

	// With a state directory that is another's, or none, it leaves everything and says so.
	stands := take(t, n)
	for dir, want := range map[string]string{t.TempDir(): "is left: the state directory knows nothing of it", "/nowhere": "no such file or directory"} {
		if out, err := n.LocalIn(dir, "cleanup"); err == nil || !strings.Contains(out, want) {
			t.Errorf("cleanup with the state directory %s: %v\n%s", dir, err, out)
		}
	}
	same(t, stands, take(t, n))
	out, err := n.Local("cleanup")
	want := fmt.Sprintf("multinic0 (%s) is given back\nmultinic1 (%s) is given back\nmultinic2 (%s) is given back\n", mac(1, 0), mac(1, 1), mac(1, 2))
	if err != nil || out != want {
		t.Errorf("cleanup: %v\n%s", err, out)
	}
	same(t, before, take(t, n))
	if out, err := n.Local("cleanup"); err != nil || out != "no interface of this node is multinic's\n" {
		t.Errorf("cleanup once more: %v, %s", err, out)
	}
	if out, err := n.Local("status"); err != nil || out != "no interface of this node is multinic's\n" {
		t.Errorf("status afterwards: %v, %s", err, out)
	}
}

// planOf is what a node's executor says that it would do, by MAC, sorted.
func planOf(view *multinicv1.Node) []string {
	var all []string
	for _, each := range view.GetInterfaces() {
		all = append(all, each.GetResult().GetPlanned()...)
	}
	slices.Sort(all)

	return slices.Compact(all)
}

// startedIn are the changes of which a log says that they are begun, sorted.
func startedIn(t *testing.T, log string) []string {
	t.Helper()
	var all []string
	for line := range strings.Lines(log) {
		var event struct {
			Message string   `json:"msg"`
			Changes []string `json:"changes"`
		}
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if strings.HasPrefix(event.Message, "apply") {
			all = append(all, event.Changes...)
		}
	}
	slices.Sort(all)

	return all
}

// TestWhatIsObservedIsWhatApplyThenDoes changes fifty rows of five nodes in all the ways in which rows change.
func TestWhatIsObservedIsWhatApplyThenDoes(t *testing.T) {
	f := newFleet(t)
	f.SQL("ALTER TABLE multi_interface ADD COLUMN mtu INT")
	var rows []fleet.Row
	for number := range 5 {
		addNode(f, number, 10)
		rows = append(rows, rowsOf(number, 10)...)
	}
	f.Insert(rows...)
	f.StartDispatcher(unguarded)
	for _, n := range f.Nodes() {
		n.StartExecutor()
	}
	f.AwaitAll()
	for _, n := range f.Nodes() {
		if err := n.Executor.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range rows {
		switch row := &rows[i]; i % 5 {
		case 0:
			row.Address = strings.TrimSuffix(row.Address, "10") + "20"
		case 1:
			row.Gateway = ""
		case 2:
			row.MTU = 1400
		case 3:
			row.Mask = "25"
		case 4:
			row.Address, row.Gateway, row.DNS = "", "", ""
		}
	}
	f.Rewrite(rows...)

	monitors := map[string]*monitor.Monitor{}
	for _, n := range f.Nodes() {
		monitors[n.Name()] = monitor.Start(t, n.Node)
		n.StartExecutor("--mode=observe")
	}
	plans := map[string][]string{}
	for _, n := range f.Nodes() {
		planned := 0
		f.Until(func() bool {
			planned = 0
			for _, each := range f.View(n.Name()).GetInterfaces() {
				if each.GetResult().GetState() == multinicv1.State_STATE_PLANNED {
					planned++
				}
			}

			return planned == 10
		}, func() string { return fmt.Sprintf("%s has planned %d of 10", n.Name(), planned) })
		plans[n.Name()] = planOf(f.View(n.Name()))
		silent(t, monitors[n.Name()], "observing")
		if mode := f.View(n.Name()).GetFacts().GetMode(); mode != "observe" {
			t.Errorf("the node says that its mode is %q", mode)
		}
	}
	if flags := f.Flags(); strings.Contains(flags, "1") {
		t.Errorf("observing has set flags: %s", flags)
	}
	for _, n := range f.Nodes() {
		if err := n.Executor.Stop(); err != nil {
			t.Fatal(err)
		}
		n.StartExecutor()
	}
	f.AwaitAll()
	for _, n := range f.Nodes() {
		right(t, n, rows)
		if done := startedIn(t, n.Executor.Log()); !slices.Equal(done, plans[n.Name()]) {
			t.Errorf("%s planned\n%s\nand did\n%s", n.Name(), strings.Join(plans[n.Name()], "\n"), strings.Join(done, "\n"))
		}
	}
}
