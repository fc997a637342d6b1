package worker_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/transaction"
)

// holders are the names of the links that have an IPv4 address.
func (b *bench) holders(address string) []string {
	b.kernel.mu.Lock()
	defer b.kernel.mu.Unlock()
	var names []string
	for _, link := range b.kernel.has.Links {
		if slices.ContainsFunc(link.Addresses, func(a plan.Address) bool { return a.Prefix.Addr().String() == address }) {
			names = append(names, link.Name)
		}
	}

	return names
}

// TestAnAddressIsOnOneNICAlsoWhileTheOtherThatShouldGiveItUpWaits has one NIC take over the address of another, which is to get one
// that is in use on the wire. The two are tried again at different times, as chance has it.
func TestAnAddressIsOnOneNICAlsoWhileTheOtherThatShouldGiveItUpWaits(t *testing.T) {
	play(t, []string{macA, macB}, func(b *bench) {
		b.end()
		asked := 0
		b.chance = func() float64 { asked++; return []float64{0, 0.9}[asked%2] }
		b.restart()
		b.want(1, 1, item(macA, "r1", "192.0.2.10/24"), item(macB, "r2", "192.0.2.11/24"))
		b.quietly(func() { b.inUse = map[string]string{"192.0.2.99": "02:00:00:00:00:99"} })
		b.want(1, 2, item(macA, "r3", "192.0.2.11/24"), item(macB, "r4", "192.0.2.99/24"))
		said := map[string]bool{}
		for range 400 {
			if has := b.holders("192.0.2.11"); fmt.Sprint(has) != "[multinic1]" {
				t.Fatalf("192.0.2.11 is on %v", has)
			}
			report, _ := b.reports.Get()
			if report.Results[0].Ready() || report.Results[1].Ready() {
				t.Fatalf("neither has what it should have, and yet: %+v", report.Results)
			}
			said[report.Results[0].Problem.Message] = true
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
		}
		if want := "192.0.2.11 is the address of multinic1, which keeps it: choose another, or give that NIC another first"; !said[want] {
			t.Errorf("said were %v, not %q", said, want)
		}
		b.quietly(func() { b.inUse = nil })
		time.Sleep(2 * time.Minute)
		b.settle()
		b.expect("stream 1 generation 2", "a r3 multinic0 READY", "b r4 multinic1 READY")
	})
}

// TestOneThatCostsTheNodeItsWayHoldsUpTheOthersOnce has one of three rows by which the node loses its way, whenever it is applied.
func TestOneThatCostsTheNodeItsWayHoldsUpTheOthersOnce(t *testing.T) {
	play(t, []string{macA, macB, macC}, func(b *bench) {
		b.quietly(func() {
			b.lostBy = func(kernel plan.Kernel) error {
				for _, link := range kernel.Links {
					if slices.ContainsFunc(link.Addresses, func(a plan.Address) bool { return a.Prefix == prefix("192.0.2.11/24") }) {
						return fmt.Errorf("%w: elsewhere", transaction.ErrPathChanged)
					}
				}

				return nil
			}
		})
		b.want(1, 1, item(macA, "r1", "192.0.2.10/24"), item(macB, "r2", "192.0.2.11/24"), item(macC, "r3", "192.0.2.12/24"))
		for _, address := range []string{"192.0.2.10", "192.0.2.11", "192.0.2.12"} {
			if has := b.holders(address); len(has) > 0 {
				t.Errorf("%s was not put back: it is on %v", address, has)
			}
		}
		time.Sleep(time.Second)
		b.settle()
		report, _ := b.reports.Get()
		if good := report.Results; !good[0].Ready() || good[1].Ready() || !good[2].Ready() {
			t.Errorf("a second later: %+v", report.Results)
		}
		b.kernel.took()
		time.Sleep(time.Minute)
		b.settle()
		for _, change := range b.kernel.took() {
			if strings.Contains(change, "multinic0") || strings.Contains(change, "multinic1") {
				t.Errorf("one of the others was disturbed again: %s", change)
			}
		}
		b.quietly(func() { b.lostBy = nil })
		time.Sleep(2 * time.Minute)
		b.settle()
		report, _ = b.reports.Get()
		if !report.Results[1].Ready() {
			t.Errorf("with nothing lost any more: %+v", report.Results[1])
		}
	})
}
