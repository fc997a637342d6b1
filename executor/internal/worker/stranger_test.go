package worker_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"multinic.dev/executor/internal/plan"
)

// enslave makes a link a port of somebody's bridge; with false it is none any more.
func (b *bench) enslave(mac string, is bool) {
	b.kernel.happen(func() { enslave(b.kernel, mac, is) })
	b.settle()
}

func enslave(k *fakeKernel, mac string, is bool) {
	const bridge = 99
	master := 0
	if is {
		master = bridge
	}
	k.has.Links = slices.DeleteFunc(k.has.Links, func(l plan.Link) bool { return l.Index == bridge })
	k.has.Links = append(k.has.Links, plan.Link{Index: bridge, Name: "br0", Kind: "bridge", Up: true, MTU: 1500})
	for i := range k.has.Links {
		if k.has.Links[i].MAC == mac {
			k.has.Links[i].Master = master
		}
	}
}

// TestASecondLinkWithTheMACChangesNothingOfTheFirst plugs it in beside the only interface with an address, on which the shared
// rules stand.
func TestASecondLinkWithTheMACChangesNothingOfTheFirst(t *testing.T) {
	play(t, []string{macA, macB}, func(b *bench) {
		b.want(1, 1, item(macA, "r1", "192.0.2.10/24"))
		b.kernel.took()
		b.kernel.happen(func() { b.kernel.plugIn(macA) })
		b.settle()
		if touched := b.kernel.took(); len(touched) > 0 {
			b.Errorf("touched: %q", touched)
		}
		const refused = "a r1 multinic0 REFUSED LINK_AMBIGUOUS: multinic0 and eth3 all have the MAC address 02:00:00:00:00:0a: give each NIC its own"
		b.expect("stream 1 generation 1", refused)
		// And it goes on being ours: a subnet of the node's own would be in the way of this one.
		b.want(1, 2, item(macA, "r1", "192.0.2.10/24"), item(macB, "r2", "192.0.3.11/16"))
		b.expect("stream 1 generation 2", refused, "b r2 multinic1 READY")
	})
}

func TestARemovalWaitsWhileTwoLinksHaveTheMAC(t *testing.T) {
	play(t, []string{macA}, func(b *bench) {
		b.want(1, 1, item(macA, "r1", "192.0.2.10/24"))
		b.kernel.happen(func() { b.kernel.plugIn(macA) })
		b.settle()
		b.kernel.took()
		b.giveUp(2, []plan.Key{{MAC: macA}})
		if touched := b.kernel.took(); len(touched) > 0 || len(b.record.Cards()) != 1 {
			b.Errorf("touched: %q; on record: %+v", touched, b.record.Cards())
		}
		b.expect("stream 1 generation 2",
			"a  multinic0 REFUSED LINK_AMBIGUOUS: multinic0 and eth2 all have the MAC address 02:00:00:00:00:0a: give each NIC its own")
		b.kernel.happen(func() { b.kernel.has.Links = slices.Delete(b.kernel.has.Links, 2, 3) })
		b.settle()
		b.expect("stream 1 generation 2")
	})
}

func TestAnEnslavedNICIsNotTakenAway(t *testing.T) {
	play(t, []string{macA}, func(b *bench) {
		b.want(1, 1, item(macA, "r1", "192.0.2.10/24"))
		b.enslave(macA, true)
		b.kernel.took()
		b.giveUp(2, []plan.Key{{MAC: macA}})
		if touched := b.kernel.took(); len(touched) > 0 {
			b.Errorf("touched as a port of br0: %q", touched)
		}
		b.expect("stream 1 generation 2",
			"a  multinic0 REFUSED LINK_IN_USE: multinic0 (02:00:00:00:00:0a) is in use by something else: it has the master br0; free the NIC first")
		b.enslave(macA, false)
		b.expect("stream 1 generation 2")
		if len(b.kernel.took()) == 0 {
			b.Error("it was not taken away once it was free")
		}
	})
}

// TestANICThatIsTakenFromUsInTheMiddleIsPutBackAndNotProved has somebody put it into a bridge while it is being changed.
func TestANICThatIsTakenFromUsInTheMiddleIsPutBackAndNotProved(t *testing.T) {
	play(t, []string{macA}, func(b *bench) {
		b.want(1, 1, item(macA, "r1", "192.0.2.10/24"))
		before := describe(b.kernel.has)
		b.quietly(func() {
			b.kernel.before = func(change plan.Change) {
				if strings.HasPrefix(change.String(), "address add 192.0.2.11") {
					b.kernel.mu.Lock()
					defer b.kernel.mu.Unlock()
					enslave(b.kernel, macA, true)
				}
			}
		})
		b.want(1, 2, item(macA, "r2", "192.0.2.11/24"))
		report, _ := b.reports.Get()
		if proved := report.Results[0].Proved; proved == nil || proved.Address != prefix("192.0.2.10/24") {
			b.Errorf("proved is %+v", proved)
		}
		if got := describe(b.kernel.has); got != before {
			b.Errorf("the kernel was\n%s\nand is\n%s", before, got)
		}
		b.expect("stream 1 generation 2", "a r2 multinic0 REFUSED LINK_IN_USE: "+
			"multinic0 (02:00:00:00:00:0a) is in use by something else: it has the master br0; free the NIC first, or delete its row")
	})
}

// TestATypoTakesNothingFromANICThatWorks has a row ask, for a NIC that goes before in order, for the address of one that works.
func TestATypoTakesNothingFromANICThatWorks(t *testing.T) {
	for name, plugIn := range map[string][]string{"for one that is not there": {macB}, "for one that is there": {macB, macA}} {
		t.Run(name, func(t *testing.T) {
			play(t, plugIn, func(b *bench) {
				b.want(1, 1, item(macB, "r1", "192.0.2.11/24"))
				b.kernel.took()
				b.want(1, 2, item(macA, "typo", "192.0.2.11/24"), item(macB, "r1", "192.0.2.11/24"))
				report, _ := b.reports.Get()
				if !report.Results[1].Ready() || len(b.kernel.took()) > 0 {
					b.Errorf("the NIC that works was disturbed, or is not said to work any more: %+v", report.Results[1])
				}
				b.kernel.happen(func() { b.kernel.has.Links[1].Up = false })
				b.settle()
				if !b.kernel.has.Links[1].Up {
					b.Error("it is not repaired any more")
				}
			})
		})
	}
}

// TestACardOnWhichAPodsMACVLANStandsIsLeftAlone has the macvlan in the pod's own namespace, of which the kernel gives no sign here.
func TestACardOnWhichAPodsMACVLANStandsIsLeftAlone(t *testing.T) {
	play(t, []string{macA}, func(b *bench) {
		b.quietly(func() { b.kernel.has.Elsewhere = map[int][]string{2: {"net1"}} })
		b.want(1, 1, item(macA, "r1", "192.0.2.10/24"))
		b.expect("stream 1 generation 1", "a r1  REFUSED LINK_IN_USE: eth1 (02:00:00:00:00:0a) is in use by something else: "+
			"it has the upper device net1 in another network namespace; free the NIC first, or delete its row")
		if touched := b.kernel.took(); len(touched) > 0 {
			t.Errorf("touched: %q", touched)
		}
		b.quietly(func() { b.kernel.has.Elsewhere = nil })
		time.Sleep(time.Minute)
		b.settle()
		b.expect("stream 1 generation 1", "a r1 multinic0 READY")
		// What comes to stand on it once it is ours is no matter.
		b.quietly(func() { b.kernel.has.Elsewhere = map[int][]string{2: {"net1"}} })
		b.want(1, 2, item(macA, "r2", "192.0.2.11/24"))
		b.expect("stream 1 generation 2", "a r2 multinic0 READY")
	})
}
