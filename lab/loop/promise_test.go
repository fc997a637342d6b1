package loop_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"multinic.dev/lab/fleet"
	multinicv1 "multinic.dev/proto/multinic/v1"
	"multinic.dev/testbed/churn"
	"multinic.dev/testbed/node"
	"multinic.dev/testbed/oracle"
)

// holdDown is a short hold-down, for tests that wait for its end.
const holdDown = "--removal-hold-down=1s"

func set(f *fleet.Fleet, mac, what string) {
	f.SQL(fmt.Sprintf("UPDATE multi_interface SET %s WHERE mac_address = '%s'", what, mac))
}

// TestARowThatChangesIntoWhatCannotWorkLosesItsFlag changes a live row in place, so that it says 1, into an address that another host
// on the wire has.
func TestARowThatChangesIntoWhatCannotWorkLosesItsFlag(t *testing.T) {
	f := newFleet(t)
	n, rows := addNode(f, 1, 1), rowsOf(1, 2)
	card := n.PlugIn("ens1", mac(1, 1), nil)
	host := card.Wire().AddHost("host", "10.1.1.99/24")
	f.Insert(rows...)
	f.StartDispatcher()
	n.StartExecutor()
	f.AwaitAll()
	before := take(t, n)

	set(f, mac(1, 1), "ip_address = '10.1.1.99'")
	f.AwaitFlags("1 0")
	f.AwaitResult(n.Name(), mac(1, 1), "FAILED ADDRESS_IN_USE: 10.1.1.99 is in use on the wire, by ")
	same(t, before, take(t, n))
	right(t, n, rows)

	host.IP("address", "delete", "10.1.1.99/24", "dev", host.Device)
	if _, err := f.API.RetryNode(t.Context(), &multinicv1.RetryNodeRequest{Name: n.Name()}); err != nil {
		t.Fatal(err)
	}
	f.AwaitFlags("1 1")
	rows[1].Address = "10.1.1.99"
	right(t, n, rows)
}

// TestARowThatGoesIsRemovedWhollyAndOneThatComesBackInTimeIsNotNoticed restarts the dispatcher while the row is away.
func TestARowThatGoesIsRemovedWhollyAndOneThatComesBackInTimeIsNotNoticed(t *testing.T) {
	f := newFleet(t)
	n, rows := addNode(f, 1, 2), rowsOf(1, 2)
	bare := take(t, n)
	f.Insert(rows...)
	f.StartDispatcher()
	n.StartExecutor()
	f.AwaitAll()
	m := listen(t, n)
	whole := take(t, n)

	f.SQL("DELETE FROM multi_interface WHERE mac_address = '" + mac(1, 1) + "'")
	f.Until(func() bool {
		interfaces := f.View(n.Name()).GetInterfaces()
		return len(interfaces) == 2 && interfaces[1].GetHold().GetReason() == multinicv1.HoldReason_HOLD_REASON_HOLD_DOWN
	}, func() string { return f.View(n.Name()).String() })
	if err := f.Dispatcher.Stop(); err != nil {
		t.Fatal(err)
	}
	f.StartDispatcher()
	f.AwaitSession(n.Name())
	f.Insert(rows[1])
	f.AwaitAll()
	silent(t, m, "a row that came back in time")
	same(t, whole, take(t, n))

	if err := f.Dispatcher.Stop(); err != nil {
		t.Fatal(err)
	}
	f.StartDispatcher(holdDown)
	f.SQL("DELETE FROM multi_interface WHERE mac_address = '" + mac(1, 1) + "'")
	f.Until(func() bool {
		_, err := n.TryIP("link", "show", "ens1")
		return err == nil && len(f.View(n.Name()).GetInterfaces()) == 1
	}, func() string { return f.View(n.Name()).String() })
	gone := take(t, n)
	right(t, n, rows[:1])
	same(t, bare.Only("ens1"), gone.Only("ens1"))
	for _, event := range m.Mark(t) {
		if event.Link == "multinic0" {
			t.Errorf("the removal has disturbed another interface: %v", event)
		}
	}
}

// TestAPortThatIsMadeAnewIsTakenOverAtOnce has the default hold-down of a minute, which nobody waits for.
func TestAPortThatIsMadeAnewIsTakenOverAtOnce(t *testing.T) {
	f := newFleet(t)
	wire := node.NewWire(t, "wire")
	n, other := addNode(f, 1, 0), addNode(f, 2, 0)
	card := n.PlugIn("ens0", mac(1, 0), wire)
	rows := []fleet.Row{
		{Node: n.Name(), MAC: mac(1, 0), Address: "10.1.0.10", Mask: "24"}, {Node: other.Name(), MAC: mac(2, 9), Address: "10.9.0.10", Mask: "24"},
	}
	f.Insert(rows...)
	f.StartDispatcher()
	n.StartExecutor()
	other.StartExecutor()
	f.AwaitFlags("1 0")

	t.Run("a new MAC with the same address", func(*testing.T) {
		card.Unplug()
		n.PlugIn("ens1", mac(1, 1), wire)
		f.SQL(fmt.Sprintf("DELETE FROM multi_interface WHERE mac_address = '%s'", mac(1, 0)))
		f.Insert(fleet.Row{Node: n.Name(), MAC: mac(1, 1), Address: "10.1.0.10", Mask: "24"})
		f.AwaitFlags("0 1")
	})
	t.Run("the same on another node", func(t *testing.T) {
		other.PlugIn("ens0", mac(2, 0), wire)
		f.SQL(fmt.Sprintf("UPDATE multi_interface SET attached_node_name = '%s', mac_address = '%s' WHERE mac_address = '%s'", other.Name(), mac(2, 0), mac(1, 1)))
		moved := fleet.Row{Node: other.Name(), MAC: mac(2, 0), Address: "10.1.0.10", Mask: "24"}
		wrong := ""
		f.Until(func() bool {
			wrong = other.Judge(oracle.Expect{Without: []string{mac(2, 9)}}, moved, rows[1]) + n.Judge(oracle.Expect{})
			return wrong == ""
		}, func() string { return wrong })
		f.AwaitFlags("0 1")
	})
}

// TestAnEmptiedTableTakesNothingAway before and after a restart of the dispatcher, until an operator releases just that.
func TestAnEmptiedTableTakesNothingAway(t *testing.T) {
	f := newFleet(t)
	n, rows := addNode(f, 1, 3), rowsOf(1, 3)
	f.Insert(rows...)
	const at = "--removal-hold-down=0s"
	f.StartDispatcher(at)
	n.StartExecutor()
	f.AwaitAll()
	m := listen(t, n)
	f.SQL("DELETE FROM multi_interface")
	guarded := func() *multinicv1.Guard {
		t.Helper()
		var guard *multinicv1.Guard
		f.Until(func() bool {
			response, err := f.API.GetGuard(context.Background(), &multinicv1.GetGuardRequest{})
			guard = response.GetGuard()
			return err == nil && guard.GetTotal() == 3
		}, func() string { return "the guard is " + guard.String() })
		return guard
	}
	first := guarded()
	if want := "the table has become empty while nodes have 3 interfaces"; first.GetReason() != want || !strings.Contains(f.Dispatcher.Log(), want) {
		t.Errorf("the guard is %v, and the log\n%s", first, f.Dispatcher.Log())
	}
	if numbers := page(t, "/metrics"); !strings.Contains(numbers, "\nmultinic_dispatcher_guard_held 3\n") {
		t.Error("the metrics do not say what is held")
	}
	if ready := page(t, "/readyz"); ready != "ok\n" {
		t.Errorf("/readyz: %s", ready)
	}
	if err := f.Dispatcher.Stop(); err != nil {
		t.Fatal(err)
	}
	f.StartDispatcher(at)
	second := guarded()
	silent(t, m, "an emptied table")
	right(t, n, rows)

	// A row comes back: of what was looked at, it is wanted no more, and is not let through with the rest.
	f.Insert(rows[0])
	f.Until(func() bool {
		response, err := f.API.GetGuard(context.Background(), &multinicv1.GetGuardRequest{})
		return err == nil && response.GetGuard().GetTotal() == 2
	}, func() string { return "the guard does not see the row" })
	if _, err := f.API.ReleaseGuard(t.Context(), &multinicv1.ReleaseGuardRequest{Token: "another"}); err == nil {
		t.Error("a token that nobody was told was taken")
	}
	if response, err := f.API.ReleaseGuard(t.Context(), &multinicv1.ReleaseGuardRequest{Token: second.GetToken()}); err != nil || response.GetReleased() != 2 {
		t.Fatalf("released %v, %v", response, err)
	}
	f.Until(func() bool { return len(f.View(n.Name()).GetInterfaces()) == 1 }, func() string { return f.View(n.Name()).String() })
	right(t, n, rows[:1])
}

// page is what the dispatcher answers over HTTP.
func page(t *testing.T, path string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+fleet.DispatcherHTTP+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}

	return string(body)
}

// TestATableThatIsGoneTakesNothingAway renames it, and takes the right to read it away.
func TestATableThatIsGoneTakesNothingAway(t *testing.T) {
	f, n, rows := running(t, 2)
	m := listen(t, n)
	for _, test := range []struct{ gone, back string }{
		{"RENAME TABLE multi_interface TO elsewhere", "RENAME TABLE elsewhere TO multi_interface"},
		{"ALTER TABLE multi_interface RENAME COLUMN mac_address TO mac", "ALTER TABLE multi_interface RENAME COLUMN mac TO mac_address"},
	} {
		failed := strings.Count(f.Dispatcher.Log(), "reading the table failed")
		f.SQL(test.gone)
		f.Until(func() bool { return strings.Count(f.Dispatcher.Log(), "reading the table failed") > failed }, func() string { return "nothing was said of it" })
		if view := f.View(n.Name()); len(view.GetRows()) != 2 {
			t.Errorf("the last picture does not stand: %v", view)
		}
		if err := f.Dispatcher.Stop(); err != nil {
			t.Fatal(err)
		}
		f.StartDispatcher()
		if code, err := f.Dispatcher.Wait(fleet.Patience); err != nil || code != 2 {
			t.Errorf("a dispatcher that finds no table ends with %d, %v", code, err)
		}
		f.SQL(test.back)
		f.StartDispatcher()
		f.AwaitSession(n.Name())
	}
	silent(t, m, "a table that was gone")
	right(t, n, rows)
	f.AwaitAll()
}

// TestAddressesThatAreExchangedAreBothRight in one activation.
func TestAddressesThatAreExchangedAreBothRight(t *testing.T) {
	f := newFleet(t)
	wire := node.NewWire(t, "wire")
	n := addNode(f, 1, 0)
	var rows []fleet.Row
	for card := range 2 {
		n.PlugIn(fmt.Sprint("ens", card), mac(1, card), wire)
		rows = append(rows, fleet.Row{Node: n.Name(), MAC: mac(1, card), Address: fmt.Sprintf("10.1.0.1%d", card), Mask: "24", Gateway: "10.1.0.1"})
	}
	f.Insert(rows...)
	f.StartDispatcher()
	n.StartExecutor()
	f.AwaitAll()
	rows[0].Address, rows[1].Address = rows[1].Address, rows[0].Address
	f.Rewrite(rows...)
	f.AwaitAll()
	right(t, n, rows)
	if got := strings.Count(n.Executor.Log(), `"msg":"apply started"`); got != 4 {
		t.Errorf("%d applies, want two for each card:\n%s", got, n.Executor.Log())
	}
}

// TestALossOfTheUnderlayIsUndone takes eth0's address away in the middle of a transaction: while it listens whether the new address
// is in use.
func TestALossOfTheUnderlayIsUndone(t *testing.T) {
	f := newFleet(t)
	n, rows := addNode(f, 1, 2), rowsOf(1, 2)
	n.Underlay("eth0", mac(1, 99), "192.0.2.10/24", "192.0.2.1", 100, node.NewWire(t, "underlay"))
	f.Insert(rows...)
	f.StartDispatcher(unguarded)
	n.StartExecutor()
	f.AwaitAll()
	before := take(t, n)

	set(f, mac(1, 0), "ip_address = '10.1.0.20'")
	awaitTransaction(t, n)
	n.IP("address", "delete", "192.0.2.10/24", "dev", "eth0")
	f.AwaitFlags("0 1")
	f.AwaitResult(n.Name(), mac(1, 0), "FAILED UNDERLAY_LOST: the node's own network has lost something meanwhile, so all was put back: eth0 ")
	right(t, n, rows)

	n.IP("address", "add", "192.0.2.10/24", "dev", "eth0", "noprefixroute")
	n.IP("route", "replace", "192.0.2.0/24", "dev", "eth0", "scope", "link", "src", "192.0.2.10", "metric", "100")
	n.IP("route", "replace", "default", "via", "192.0.2.1", "dev", "eth0", "src", "192.0.2.10", "metric", "100")
	same(t, before, take(t, n))
	f.AwaitAll() // It is tried again by itself, and nothing is lost now.
	rows[0].Address = "10.1.0.20"
	right(t, n, rows)
}

// awaitTransaction returns as soon as a node's executor is in the middle of one.
func awaitTransaction(t *testing.T, n *fleet.Node) {
	t.Helper()
	for deadline := time.Now().Add(fleet.Patience); ; {
		if _, err := os.Stat(filepath.Join(n.StateDir(), "journal.json")); err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("there is no transaction")
		}
	}
}

// TestAWayToTheGatewayThatChangesIsUndone has somebody lead the way to the gateway elsewhere in the middle of a transaction.
func TestAWayToTheGatewayThatChangesIsUndone(t *testing.T) {
	f := newFleet(t)
	n, rows := addNode(f, 1, 2), rowsOf(1, 2)
	wire := node.NewWire(t, "underlay")
	wire.AddHost("gateway", "192.0.2.1/24")
	n.Underlay("eth0", mac(1, 99), "192.0.2.10/24", "192.0.2.1", 100, wire)
	f.Insert(rows...)
	f.StartDispatcher(unguarded)
	n.StartExecutor()
	f.AwaitAll()
	set(f, mac(1, 0), "ip_address = '10.1.0.20'")
	awaitTransaction(t, n)
	n.IP("route", "add", "192.0.2.1/32", "dev", "lo")
	f.AwaitFlags("0 1")
	f.AwaitResult(n.Name(), mac(1, 0), "FAILED PATH_CHANGED: the node's way has changed, so all was put back: the default gateway (192.0.2.1) was reached ")
	right(t, n, rows)
	n.IP("route", "delete", "192.0.2.1/32", "dev", "lo")
	f.AwaitAll()
	rows[0].Address = "10.1.0.20"
	right(t, n, rows)
}

// TestNoRowLeadsTheNodesWayElsewhere has rows by which the node would reach its API server by a NIC of ours.
func TestNoRowLeadsTheNodesWayElsewhere(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "203.0.113.6")
	f := newFleet(t)
	n, rows := addNode(f, 1, 3), rowsOf(1, 3)
	n.Underlay("eth0", mac(1, 99), "192.0.2.10/24", "192.0.2.1", 100, node.NewWire(t, "underlay"))
	rows[0].Address, rows[0].Mask, rows[0].Gateway = "203.0.113.77", "24", ""
	rows[1].Address, rows[1].Mask, rows[1].Gateway = "198.51.100.7", "32", "203.0.113.6"
	f.Insert(rows...)
	f.StartDispatcher()
	n.StartExecutor()
	const why = ".6, the address of the API server, which the node reaches by its default route: correct the address, the subnet mask or the gateway"
	f.AwaitResult(n.Name(), mac(1, 0), "REFUSED SUBNET_CONFLICT: 203.0.113.0/24 takes in 203.0.113"+why)
	f.AwaitResult(n.Name(), mac(1, 1), "REFUSED SUBNET_CONFLICT: 203.0.113.6/32 takes in 203.0.113"+why)
	f.AwaitFlags("0 0 1")
	if log := n.Executor.Log(); strings.Contains(log, "rolling back") {
		t.Errorf("it was tried:\n%s", log)
	}
	if err := n.Executor.Kill(); err != nil {
		t.Fatal(err)
	}

	// The control: there is nothing else against them.
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	n.StartExecutor()
	f.AwaitAll()
}

// TestWhatComesAndGoesOnANodeIsNoMatter has pods, their routes, rules and virtual addresses come and go all the time.
func TestWhatComesAndGoesOnANodeIsNoMatter(t *testing.T) {
	f := newFleet(t)
	n, rows := f.AddNode(nodeName(1)), rowsOf(1, 4)
	for card := range rows {
		n.PlugIn(fmt.Sprint("ens", card), mac(1, card), nil)
	}
	n.Underlay("eth0", mac(1, 99), "192.0.2.10/24", "192.0.2.1", 100, node.NewWire(t, "underlay"))
	f.Insert(rows...)
	f.StartDispatcher(unguarded, "--removal-hold-down=0s")
	n.StartExecutor()
	f.AwaitAll()
	c := churn.Start(t, n.Node, churn.Options{Seed: uint64(time.Now().UnixNano()), Link: "eth0"})
	for round := range 6 {
		for i := range rows {
			rows[i].Address = fmt.Sprintf("10.1.%d.%d", i, 20+round)
		}
		f.Rewrite(rows...)
		f.AwaitAll()
		right(t, n, rows)
		c.AwaitSteps(t, 20)
	}
	f.SQL("DELETE FROM multi_interface WHERE mac_address = '" + mac(1, 3) + "'")
	f.Until(func() bool { return len(f.View(n.Name()).GetInterfaces()) == 3 }, func() string { return f.View(n.Name()).String() })
	right(t, n, rows[:3])
	if err := c.End(); err != nil {
		t.Errorf("something of the node's own was touched: %v", err)
	}
	if log := n.Executor.Log(); strings.Contains(log, "rolling back") {
		t.Errorf("something was undone:\n%s", log)
	}
}

// TestTwoDispatchersAndTwoExecutorsDoNoHarm has a second dispatcher on the same table, and second executors on the node.
func TestTwoDispatchersAndTwoExecutorsDoNoHarm(t *testing.T) {
	f, n, rows := running(t, 2)
	m := listen(t, n)
	second := f.StartAnotherDispatcher()
	if out, err := n.Command(t.Context(), programs.Executor, "--identity=insecure", "--dispatcher=unix:"+f.Socket(), "--node-name="+n.Name(),
		"--backend=netlink", "--state-dir="+t.TempDir(), "--http-listen=none").CombinedOutput(); err == nil || !strings.Contains(string(out), "another executor runs on this node") {
		t.Errorf("a second executor: %v, %s", err, out)
	}
	for range 5 {
		f.Rewrite(rows...)
		f.AwaitAll()
	}
	silent(t, m, "two of each")
	if err := second.Stop(); err != nil {
		t.Error(err)
	}
}

// TestAVLANIsMadeOrItsLackSaid has a row for the card itself beside it, which is applied either way.
func TestAVLANIsMadeOrItsLackSaid(t *testing.T) {
	f := newFleet(t)
	n, rows := addNode(f, 1, 1), rowsOf(1, 1)
	tagged := fleet.Row{Node: n.Name(), MAC: mac(1, 0), VLAN: 5, Address: "10.5.0.10", Mask: "24"}
	_, lack := n.TryIP("link", "add", "link", "ens0", "name", "try", "type", "vlan", "id", "7")
	if lack == nil {
		n.IP("link", "delete", "try")
	}
	f.Insert(rows[0], tagged)
	f.StartDispatcher()
	n.StartExecutor()
	if lack == nil {
		f.AwaitFlags("1 1")

		return
	}
	f.AwaitFlags("1 0")
	right(t, n, rows)
	f.Until(func() bool {
		interfaces := f.View(n.Name()).GetInterfaces()

		return len(interfaces) == 2 && interfaces[1].GetResult().GetReason() == multinicv1.Reason_REASON_VLAN_UNSUPPORTED &&
			strings.HasSuffix(interfaces[1].GetResult().GetMessage(), "this kernel has no 802.1Q VLANs: load its module 8021q, or use vlan 0")
	}, func() string { return f.View(n.Name()).String() })
}
