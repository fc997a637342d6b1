package vm_test

import (
	"fmt"
	"slices"
	"testing"

	"multinic.dev/lab/fleet"
	"multinic.dev/testbed/monitor"
	"multinic.dev/testbed/oracle"
)

// TestTwoCardsChangeAddressesAndNeitherIsEverOnBoth has two rows of one subnet change addresses in one transaction of the table. After a
// power cut then, the next boot makes the same without the executor.
func TestTwoCardsChangeAddressesAndNeitherIsEverOnBoth(t *testing.T) {
	t.Parallel()
	onBothByBoth(t, setup{cards: 2}, func(t *testing.T, h *host) {
		t.Helper()
		rows := []fleet.Row{
			{Node: nodeName, MAC: mac(0), Address: "10.1.0.10", Mask: "24", Gateway: "10.1.0.1"},
			{Node: nodeName, MAC: mac(1), Address: "10.1.0.20", Mask: "24", Gateway: "10.1.0.1"},
		}
		h.fleet.Insert(rows...)
		h.node.StartExecutor()
		h.fleet.AwaitAll()
		h.right("before", oracle.Expect{}, rows...)
		places := monitor.Places{"10.1.0.10/24": {"multinic0"}, "10.1.0.20/24": {"multinic1"}}
		m := h.listen()
		rows[0].Address, rows[1].Address = rows[1].Address, rows[0].Address
		h.fleet.Rewrite(rows...)
		h.fleet.AwaitAll()
		h.wantActivated("changed")
		events := m.Mark(t)
		if twice := places.Follow(events); len(twice) > 0 {
			t.Errorf("%s were on both: %s", twice, timed(events))
		}
		if want := (fmt.Sprint(map[string][]string{"10.1.0.10/24": {"multinic1"}, "10.1.0.20/24": {"multinic0"}})); fmt.Sprint(places) != want {
			t.Errorf("the kernel has told that the addresses are %v, not %v", places, want)
		}
		h.right("changed", oracle.Expect{}, rows...)

		if err := h.node.Executor.Kill(); err != nil {
			t.Fatal(err)
		}
		h.node.MustRun("ip", "address", "add", "10.1.0.10/24", "dev", "multinic0", "noprefixroute")
		if twice := places.Follow(m.Mark(t)); !slices.Equal(twice, []string{"10.1.0.10/24"}) {
			t.Errorf("of an address that is on both is seen %v", twice)
		}
		h.node.Kill()
		h.node.Boot()
		h.node.Configured("eth0", "multinic0", "multinic1")
		h.right("after the power cut, without the executor", oracle.Expect{}, rows...)
	})
}
