package worker_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/work"
)

// giveUp makes a set with removals the newest.
func (b *bench) giveUp(number uint64, removals []plan.Key, items ...work.Item) {
	b.sets.Put(work.Set{Generation: work.Generation{Stream: 1, Number: number}, Items: items, Removals: removals})
	b.settle()
}

func TestARemovalGivesTheCardBackWhole(t *testing.T) {
	play(t, []string{macA, macB}, func(b *bench) {
		b.kernel.has.Links[1].Settings["ipv4/conf/%s/rp_filter"] = "1"
		bare := stateOf(b)
		b.want(1, 1, item(macA, "r1", "192.0.2.10/24"))
		b.giveUp(2, []plan.Key{{MAC: macA}}, item(macB, "r2", ""))
		b.expect("stream 1 generation 2", "b r2 multinic0 READY") // The name was free.
		b.giveUp(3, []plan.Key{{MAC: macB}})
		b.expect("stream 1 generation 3")
		if got := stateOf(b); got != bare {
			b.Errorf("the kernel was\n%s\nand is\n%s", bare, got)
		}
		if left := b.record.Cards(); len(left) != 0 {
			b.Errorf("recorded: %+v", left)
		}
		b.want(1, 4, item(macB, "r2", "")) // Its name is free again.
		b.expect("stream 1 generation 4", "b r2 multinic0 READY")
	})
}

func TestAnAddressMovesFromARemovedCardToANewOneAtOnce(t *testing.T) {
	play(t, []string{macA, macB}, func(b *bench) {
		b.want(1, 1, item(macA, "r1", "192.0.2.10/24"))
		b.giveUp(2, []plan.Key{{MAC: macA}}, item(macB, "r2", "192.0.2.10/24"))
		b.expect("stream 1 generation 2", "b r2 multinic0 READY")
	})
}

func TestARemovalThatFailsIsUndoneSaidAndTriedAgain(t *testing.T) {
	play(t, []string{macA}, func(b *bench) {
		b.want(1, 1, item(macA, "r1", "192.0.2.10/24"))
		before := stateOf(b)
		b.quietly(func() {
			b.kernel.refuse = func(change plan.Change) error {
				if strings.HasPrefix(change.String(), "link set multinic0 name") {
					return errors.New("no")
				}

				return nil
			}
		})
		b.giveUp(2, []plan.Key{{MAC: macA}})
		b.expect("stream 1 generation 2", "a  multinic0 FAILED APPLY_FAILED: link set multinic0 name eth1: no (attempt 1, next in 900ms)")
		if got := stateOf(b); got != before {
			b.Errorf("the kernel was\n%s\nand is\n%s", before, got)
		}
		b.quietly(func() { b.kernel.refuse = func(plan.Change) error { return nil } })
		time.Sleep(time.Second)
		b.settle()
		b.expect("stream 1 generation 2")
	})
}

func TestACardThatIsGoneIsForgottenWhenItShouldGo(t *testing.T) {
	play(t, []string{macA}, func(b *bench) {
		b.want(1, 1, item(macA, "r1", "192.0.2.10/24"))
		b.kernel.happen(func() {
			b.kernel.has.Links = slices.Delete(b.kernel.has.Links, 1, 2)
			b.kernel.has.Routes = nil
		})
		b.settle()
		b.giveUp(2, []plan.Key{{MAC: macA}})
		b.expect("stream 1 generation 2")
		if left := b.record.Cards(); len(left) != 0 || len(b.kernel.has.Rules) != 0 {
			b.Errorf("left are %+v and the rules %v", left, b.kernel.has.Rules)
		}
	})
}

func TestWhatObservesSaysWhatItWouldDoAndDoesNothing(t *testing.T) {
	play(t, []string{macA, macB}, func(b *bench) {
		b.want(1, 1, item(macB, "r0", "198.51.100.10/24"))
		b.end()
		b.observe = true
		b.kernel.took()
		b.restart()
		items := []work.Item{item(macA, "r1", "192.0.2.10/24")}
		b.giveUp(2, []plan.Key{{MAC: macB}}, items...)
		report, _ := b.reports.Get()
		if len(report.Results) != 2 || report.Results[0].State().String() != "STATE_PLANNED" || report.Results[1].State().String() != "STATE_PLANNED" {
			b.Fatalf("reported: %+v", report.Results)
		}
		if got := b.kernel.took(); len(got) != 0 {
			b.Errorf("touched: %q", got)
		}
		planned := slices.Concat(report.Results[1].Planned, report.Results[0].Planned)
		b.end()

		b.observe = false
		b.restart()
		b.giveUp(1, []plan.Key{{MAC: macB}}, items...)
		b.expect("stream 1 generation 1", "a r1 multinic0 READY")
		done := slices.DeleteFunc(b.kernel.took(), func(what string) bool { return strings.HasPrefix(what, "claim") })
		slices.Sort(planned)
		slices.Sort(done)
		if !slices.Equal(planned, done) {
			b.Errorf("planned:\n%s\ndone:\n%s", strings.Join(planned, "\n"), strings.Join(done, "\n"))
		}
	})
}
