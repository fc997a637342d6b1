package worker_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/transaction"
	"multinic.dev/executor/internal/work"
)

// stateOf is all that a fake kernel has, in an order that is always the same.
func stateOf(b *bench) string {
	has := read(b.T, b.kernel)
	var lines []string
	for _, link := range has.Links {
		link.Settings, _ = b.kernel.Settings(link.Name)
		lines = append(lines, fmt.Sprintf("link %+v", link))
	}
	for _, route := range has.Routes {
		lines = append(lines, fmt.Sprintf("route %+v", route))
	}
	for _, rule := range has.Rules {
		lines = append(lines, fmt.Sprintf("rule %+v", rule))
	}
	slices.Sort(lines)

	return strings.Join(lines, "\n")
}

func TestAChangeThatFailsIsUndoneAndWhatWorkedStays(t *testing.T) {
	play(t, []string{macA, macB}, func(b *bench) {
		b.want(1, 1, item(macA, "r1", "192.0.2.10/24"), item(macB, "r2", "198.51.100.10/24"))
		before := stateOf(b)
		b.quietly(func() {
			b.kernel.refuse = func(change plan.Change) error {
				if strings.HasPrefix(change.String(), "rule add pref 25001 from 203.0.113.10") {
					return errors.New("no")
				}

				return nil
			}
		})
		b.want(1, 2, item(macA, "r3", "203.0.113.10/24"), item(macB, "r2", "198.51.100.10/24"))
		b.expect("stream 1 generation 2", "a r3 multinic0 FAILED APPLY_FAILED: rule add pref 25001 from 203.0.113.10 lookup main suppress_prefixlength 0 proto 109: no "+
			"(attempt 1, next in 900ms)", "b r2 multinic1 READY")
		if after := stateOf(b); after != before {
			b.Errorf("the kernel was\n%s\nand is\n%s", before, after)
		}
		report, _ := b.reports.Get()
		if proved := report.Results[0].Proved; proved == nil || proved.Address != prefix("192.0.2.10/24") || !report.Results[0].Taken {
			b.Errorf("reported as proved: %v", proved)
		}
		if left, err := os.Stat(filepath.Join(b.dir, "journal.json")); err == nil {
			b.Errorf("the journal is left: %v", left)
		}
		if b.logs.FilterMessage("rolling back").Len() == 0 || b.logs.FilterMessage("rolled back").Len() == 0 {
			b.Error("nothing was said of the rollback")
		}
	})
}

func TestAnAddressInUseIsFoundBeforeTheOldOneIsGivenUp(t *testing.T) {
	play(t, []string{macA, macB}, func(b *bench) {
		b.want(1, 1, item(macA, "r1", "192.0.2.10/24"))
		b.kernel.took()
		b.quietly(func() { b.inUse = map[string]string{"192.0.2.99": "02:00:00:00:00:99"} })
		b.want(1, 2, item(macA, "r2", "192.0.2.99/24"), item(macB, "r3", "198.51.100.10/24"))
		b.expect("stream 1 generation 2", "a r2 multinic0 FAILED ADDRESS_IN_USE: 192.0.2.99 is in use on the wire, by 02:00:00:00:00:99: "+
			"give one of the two another address (attempt 1, next in 900ms)", "b r3 multinic1 READY")
		for _, change := range b.kernel.took() {
			if strings.Contains(change, "multinic0") && !strings.Contains(change, "link set") {
				b.Errorf("touched: %s", change)
			}
		}
		b.quietly(func() { b.inUse = nil }) // The control: it is free now.
		time.Sleep(time.Second)
		b.settle()
		b.expect("stream 1 generation 2", "a r2 multinic0 READY", "b r3 multinic1 READY")
	})
}

func TestALossOfTheNodesOwnNetworkUndoesTheWholeTransaction(t *testing.T) {
	play(t, []string{macA, macB}, func(b *bench) {
		b.want(1, 1, item(macA, "r1", "192.0.2.10/24"))
		before := stateOf(b)
		b.quietly(func() { b.lost = errors.New("eth0 has lost its address") })
		b.want(1, 2, item(macA, "r2", "192.0.2.11/24"), item(macB, "r3", ""))
		const lost = "FAILED UNDERLAY_LOST: eth0 has lost its address (attempt 1, next in 900ms)"
		b.expect("stream 1 generation 2", "a r2 multinic0 "+lost, "b r3 multinic1 "+lost)
		if after := stateOf(b); after != before {
			b.Errorf("the kernel was\n%s\nand is\n%s", before, after)
		}
		b.quietly(func() { b.lost = fmt.Errorf("the way to 10.0.0.1: %w", transaction.ErrPathChanged) })
		time.Sleep(time.Second)
		b.settle()
		report, _ := b.reports.Get()
		if got := report.Results[1].Problem.Reason.String(); got != "REASON_PATH_CHANGED" {
			b.Errorf("the reason is %s", got)
		}
		b.quietly(func() { b.lost = nil })
		time.Sleep(5 * time.Second)
		b.settle()
		b.expect("stream 1 generation 2", "a r2 multinic0 READY", "b r3 multinic1 READY")
	})
}

func TestOneBadCardAmongTenLeavesNineAppliedInOneActivation(t *testing.T) {
	var macs []string
	var items []work.Item
	for n := range 10 {
		mac := fmt.Sprintf("02:00:00:00:01:%02x", n)
		macs = append(macs, mac)
		items = append(items, item(mac, "r1", fmt.Sprintf("192.0.2.%d/24", 10+n)))
	}
	play(t, macs, func(b *bench) {
		b.quietly(func() { b.inUse = map[string]string{"192.0.2.13": "02:00:00:00:00:99"} })
		b.want(1, 1, items...)
		if *b.meter != (meter{reported: 2, ready: 9, failed: 1, activated: 1}) {
			b.Errorf("counted: %+v", *b.meter)
		}
		b.kernel.took()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		for _, change := range b.kernel.took() {
			if strings.Contains(change, "multinic") && !strings.Contains(change, "multinic3") {
				b.Errorf("disturbed again: %s", change)
			}
		}
		report, _ := b.reports.Get()
		if got := report.Results[3].Attempts; got < 5 {
			b.Errorf("the bad one was tried %d times, so nothing was shown", got)
		}
	})
}

func TestAnOperatorsRetryIsMadeAtOnce(t *testing.T) {
	play(t, []string{macA}, func(b *bench) {
		b.quietly(func() { b.inUse = map[string]string{"192.0.2.10": "02:00:00:00:00:99"} })
		b.want(1, 1, item(macA, "r1", "192.0.2.10/24"))
		time.Sleep(20 * time.Second)
		b.settle()
		b.quietly(func() { b.inUse = nil })
		set := work.Set{Generation: work.Generation{Stream: 1, Number: 2}, Items: []work.Item{item(macA, "r1", "192.0.2.10/24")}}
		b.sets.Put(set) // Not yet: nobody asked.
		b.settle()
		report, _ := b.reports.Get()
		if report.Results[0].Ready() {
			b.Error("it was tried without being asked")
		}
		set.Generation.Number, set.Retry = 3, 3
		b.sets.Put(set)
		b.settle()
		b.expect("stream 1 generation 3", "a r1 multinic0 READY")
	})
}
