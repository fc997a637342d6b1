package worker_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"multinic.dev/executor/internal/plan"
)

// unplug takes the card with an index away, as a kernel does: with its addresses and routes, and without its rules.
func (b *bench) unplug(index int) {
	b.kernel.happen(func() {
		b.kernel.has.Links = slices.DeleteFunc(slices.Clone(b.kernel.has.Links), func(l plan.Link) bool { return l.Index == index })
		b.kernel.has.Routes = slices.DeleteFunc(slices.Clone(b.kernel.has.Routes), func(r plan.Route) bool { return r.Link == index })
	})
	b.settle()
}

// rulesFrom are the rules from an address.
func (b *bench) rulesFrom(address string) int {
	return strings.Count(describe(read(b.T, b.kernel)), "from "+address+" ")
}

const waiting = " WAITING_FOR_LINK LINK_NOT_FOUND: no NIC of this node has the MAC address "

// TestACardThatIsGoneLeavesNoRules but for a second, in which it may be back.
func TestACardThatIsGoneLeavesNoRules(t *testing.T) {
	play(t, []string{macA, macB}, func(b *bench) {
		b.want(1, 1, item(macA, "r1", "192.0.2.10/24"), item(macB, "r2", "198.51.100.10/24"))
		b.kernel.took()
		b.unplug(3)
		gone := "b r2 multinic1" + waiting + macB + ": attach it, or correct the MAC address"
		b.expect("stream 1 generation 1", "a r1 multinic0 READY", gone)
		if left := b.rulesFrom("198.51.100.10"); left != 3 {
			t.Fatalf("there are %d rules of it at first, so nothing is shown", left)
		}
		time.Sleep(time.Second)
		b.settle()
		if left, others := b.rulesFrom("198.51.100.10"), b.rulesFrom("192.0.2.10"); left != 0 || others != 3 {
			t.Errorf("there are %d rules of it, and %d of the other", left, others)
		}
		if took := b.kernel.took(); len(took) != 3 {
			t.Errorf("done was %v", took)
		}
		b.expect("stream 1 generation 1", "a r1 multinic0 READY", gone)
		time.Sleep(5 * time.Minute)
		b.settle()
		if took := b.kernel.took(); len(took) > 0 {
			t.Errorf("later there was %v", took)
		}

		b.kernel.happen(func() { b.kernel.plugIn(macB) })
		b.settle()
		b.expect("stream 1 generation 1", "a r1 multinic0 READY", "b r2 multinic1 READY")
		if left := b.rulesFrom("198.51.100.10"); left != 3 {
			t.Errorf("there are %d rules of it when it is back", left)
		}
	})
}

// TestACardThatIsBackWithinASecondFindsItsRules as it has left them.
func TestACardThatIsBackWithinASecondFindsItsRules(t *testing.T) {
	play(t, []string{macA, macB}, func(b *bench) {
		b.want(1, 1, item(macA, "r1", "192.0.2.10/24"), item(macB, "r2", "198.51.100.10/24"))
		b.kernel.took()
		b.unplug(3)
		time.Sleep(500 * time.Millisecond)
		b.kernel.happen(func() { b.kernel.plugIn(macB) })
		time.Sleep(5 * time.Second)
		b.settle()
		b.expect("stream 1 generation 1", "a r1 multinic0 READY", "b r2 multinic1 READY")
		if took := fmt.Sprint(b.kernel.took()); strings.Contains(took, "rule") {
			t.Errorf("done was %s", took)
		}
	})
}

// TestNothingOfACardThatIsGoneIsTouchedWithoutAWorkSet nor does what cannot be taken away hold up others.
func TestNothingOfACardThatIsGoneIsTouchedWithoutAWorkSet(t *testing.T) {
	play(t, []string{macA, macB}, func(b *bench) {
		b.want(1, 1, item(macA, "r1", "192.0.2.10/24"), item(macB, "r2", "198.51.100.10/24"))
		b.end()
		b.kernel.took()
		b.unplug(3)
		b.restart()
		time.Sleep(5 * time.Second)
		b.settle()
		if took := b.kernel.took(); len(took) > 0 {
			t.Errorf("done was %v", took)
		}
		b.quietly(func() {
			b.kernel.refuse = func(change plan.Change) error {
				if strings.HasPrefix(change.String(), "rule delete") && strings.Contains(change.String(), "198.51.100.10") {
					return errors.New("impossible")
				}

				return nil
			}
		})
		b.want(1, 1, item(macA, "r3", "192.0.2.11/24"), item(macB, "r2", "198.51.100.10/24"))
		time.Sleep(10 * time.Second)
		b.settle()
		b.expect("stream 1 generation 1", "a r3 multinic0 READY", "b r2 multinic1"+waiting+macB+": attach it, or correct the MAC address")
		if said := b.logs.FilterMessage("what NICs have left that are gone could not be taken away").Len(); said < 2 || said > 5 {
			t.Errorf("it is said %d times", said)
		}
	})
}
