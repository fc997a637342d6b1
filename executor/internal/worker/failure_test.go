package worker_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"multinic.dev/executor/internal/plan"
)

func TestAFailingItemHoldsUpNoOtherAndIsTriedAgainLaterAndLater(t *testing.T) {
	play(t, []string{macA, macB, macC}, func(b *bench) {
		began := time.Now()
		b.kernel.refuse = func(change plan.Change) error {
			if strings.HasPrefix(change.String(), "address add 198.51.100.10/24") {
				return errors.New("no buffer space available")
			}

			return nil
		}
		b.want(1, 1, item(macA, "r1", "192.0.2.10/24"), item(macB, "r2", "198.51.100.10/24"), item(macC, "r3", "203.0.113.10/24"))
		failed := "b r2 multinic1 FAILED APPLY_FAILED: address add 198.51.100.10/24 dev multinic1 noprefixroute: no buffer space available "
		b.expect("stream 1 generation 1", "a r1 multinic0 READY", failed+"(attempt 1, next in 900ms)", "c r3 multinic2 READY")
		if *b.meter != (meter{reported: 2, ready: 2, failed: 1, activated: 1}) {
			b.Errorf("counted: %+v", *b.meter)
		}
		b.kernel.took()

		var retries []time.Duration
		for range 11 {
			attempts := attemptsOf(b)
			for attemptsOf(b) == attempts {
				time.Sleep(100 * time.Millisecond)
				synctest.Wait()
			}
			retries = append(retries, time.Since(began).Round(time.Second))
		}
		if got, want := fmt.Sprint(retries), "[1s 3s 7s 15s 31s 1m3s 2m7s 4m15s 7m35s 10m55s 14m15s]"; got != want {
			b.Errorf("tried again after %s, want %s", got, want)
		}
		for _, change := range b.kernel.took() {
			if strings.Contains(change, "multinic0") || strings.Contains(change, "multinic2") || strings.HasPrefix(change, "rule") {
				b.Errorf("a retry touched something else: %s", change)
			}
		}

		b.kernel.happen(func() { b.kernel.refuse = func(plan.Change) error { return nil } })
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		b.expect("stream 1 generation 1", "a r1 multinic0 READY", "b r2 multinic1 READY", "c r3 multinic2 READY")
	})
}

// attemptsOf is how often the second item was tried in vain, by the newest report.
func attemptsOf(b *bench) uint32 {
	report, _ := b.reports.Get()

	return report.Results[1].Attempts
}

func TestAChangedItemIsTriedAtOnceThoughItWasWaitingForItsTime(t *testing.T) {
	play(t, []string{macA}, func(b *bench) {
		b.kernel.refuse = func(change plan.Change) error {
			if strings.HasPrefix(change.String(), "address add") {
				return errors.New("no")
			}

			return nil
		}
		b.want(1, 1, item(macA, "r1", "192.0.2.10/24"))
		time.Sleep(20 * time.Second) // Tried at 0, 1, 3, 7 and 15 s.
		synctest.Wait()
		const failed = "noprefixroute: no "
		b.expect("stream 1 generation 1", "a r1 multinic0 FAILED APPLY_FAILED: address add 192.0.2.10/24 dev multinic0 "+failed+"(attempt 5, next in 10.9s)")
		b.want(1, 2, item(macA, "r1", "192.0.2.10/24"))
		b.expect("stream 1 generation 2", "a r1 multinic0 FAILED APPLY_FAILED: address add 192.0.2.10/24 dev multinic0 "+failed+"(attempt 5, next in 10.8s)")
		b.want(1, 3, item(macA, "r2", "192.0.2.11/24"))
		b.expect("stream 1 generation 3", "a r2 multinic0 FAILED APPLY_FAILED: address add 192.0.2.11/24 dev multinic0 "+failed+"(attempt 1, next in 900ms)")
	})
}

func TestAnotherCardWithTheMACIsTriedAtOnceThoughTheFirstWasWaitingForItsTime(t *testing.T) {
	play(t, []string{macA}, func(b *bench) {
		b.kernel.refuse = func(change plan.Change) error {
			if strings.HasPrefix(change.String(), "address add") {
				return errors.New("no")
			}

			return nil
		}
		b.want(1, 1, item(macA, "r1", "192.0.2.10/24"))
		time.Sleep(20 * time.Second)
		b.kernel.happen(func() {
			b.kernel.refuse = func(plan.Change) error { return nil }
			b.kernel.plugIn(macA)
			b.kernel.has.Links = slices.Delete(b.kernel.has.Links, 1, 2)
		})
		b.settle()
		b.expect("stream 1 generation 1", "a r1 multinic0 READY")
	})
}

func TestWhatTheKernelDoesNotShowIsNotReadyThoughNothingFailed(t *testing.T) {
	play(t, []string{macA}, func(b *bench) {
		b.kernel.swallow = func(change plan.Change) bool { return strings.HasPrefix(change.String(), "rule add pref 25001") }
		b.want(1, 1, item(macA, "r1", "192.0.2.10/24"))
		b.expect("stream 1 generation 1", "a r1 multinic0 FAILED VERIFICATION_FAILED: the kernel still lacks: "+
			"rule add pref 25001 from 192.0.2.10 lookup main suppress_prefixlength 0 proto 109 (attempt 1, next in 900ms)")
		tries := 0
		for _, change := range b.kernel.took() {
			if strings.HasPrefix(change, "rule add pref 25001") {
				tries++
			}
		}
		if tries != 4 {
			b.Errorf("tried %d times in one round, want 4", tries)
		}
		if left := b.record.Cards(); len(left) != 0 {
			b.Errorf("recorded: %+v", left)
		}
	})
}

func TestWithoutTheSharedRulesNoInterfaceWithAnAddressIsReady(t *testing.T) {
	play(t, []string{macA, macB}, func(b *bench) {
		refused := true
		b.kernel.refuse = func(change plan.Change) error {
			if refused && strings.HasPrefix(change.String(), "rule add pref 32764") {
				return errors.New("no")
			}

			return nil
		}
		b.want(1, 1, item(macA, "r1", "192.0.2.10/24"), item(macB, "r2", ""))
		b.expect("stream 1 generation 1", "a r1 multinic0 FAILED APPLY_FAILED: the rules for traffic that is bound to no address: "+
			"rule add pref 32764 from all lookup main suppress_prefixlength 0 proto 109: no (attempt 1, next in 900ms)", "b r2 multinic1 READY")
		b.kernel.happen(func() { refused = false })
		time.Sleep(time.Second)
		synctest.Wait()
		b.expect("stream 1 generation 1", "a r1 multinic0 READY", "b r2 multinic1 READY")
	})
}

func TestSomebodyWhoUndoesEachRepairIsNotFoughtForEver(t *testing.T) {
	play(t, []string{macA}, func(b *bench) {
		b.want(1, 1, item(macA, "r1", ""))
		b.kernel.took()
		repairs := func(within time.Duration) int {
			for deadline := time.Now().Add(within); time.Now().Before(deadline); {
				b.kernel.happen(func() { b.kernel.has.Links[1].Up = false })
				b.settle()
			}

			return len(b.kernel.took())
		}
		if got := repairs(200 * time.Millisecond); got != 1 {
			b.Errorf("the first time: %d repairs, want one at once", got)
		}
		const contested = "FAILED VERIFICATION_FAILED: the kernel still lacks: link set multinic0 up (something else keeps changing this interface: find out what, and stop it) "
		b.expect("stream 1 generation 1", "a r1 multinic0 "+contested+"(attempt 0, next in 900ms)")
		if got := repairs(2 * time.Minute); got < 5 || got > 12 {
			b.Errorf("in two minutes: %d repairs", got)
		}
		time.Sleep(lastPeace + calm) // The other one has gone.
		b.settle()
		b.expect("stream 1 generation 1", "a r1 multinic0 READY")
		b.kernel.took()
		if got := repairs(100 * time.Millisecond); got != 1 {
			b.Errorf("after a calm time: %d repairs, want one at once", got)
		}
	})
}

// lastPeace and calm are as in the worker: the longest time that an interface is left alone, and that after which all is forgotten.
const (
	lastPeace = 30 * time.Second
	calm      = time.Minute
)

func TestWhatCannotBeRecordedIsNotReady(t *testing.T) {
	play(t, []string{macA}, func(b *bench) {
		b.record.fail(errors.New("disk full"), nil)
		b.want(1, 1, item(macA, "r1", ""))
		const failed = "a r1 multinic0 FAILED PERSIST_FAILED: disk full: see to it that the state directory can be written "
		b.expect("stream 1 generation 1", failed+"(attempt 1, next in 900ms)")
		if got := b.kernel.took(); len(got) != 0 {
			b.Errorf("touched without being claimed: %q", got)
		}
		b.record.fail(nil, errors.New("disk full"))
		time.Sleep(time.Second)
		b.settle()
		b.expect("stream 1 generation 1", failed+"(attempt 2, next in 1.8s)")
		b.kernel.happen(func() {})
		b.settle()
		b.expect("stream 1 generation 1", failed+"(attempt 2, next in 1.7s)")
		b.record.fail(nil, nil)
		time.Sleep(2 * time.Second)
		b.settle()
		b.expect("stream 1 generation 1", "a r1 multinic0 READY")
	})
}

func TestAKernelThatCannotBeReadProvesNothing(t *testing.T) {
	play(t, []string{macA, macB}, func(b *bench) {
		b.want(1, 1, item(macA, "r1", ""), item(macB, "r2", ""))
		b.kernel.happen(func() { b.kernel.unreadable = errors.New("no") })
		b.settle()
		b.want(1, 2, item(macA, "r1", ""))
		const failed = "FAILED VERIFICATION_FAILED: read what the kernel has: no (attempt 1, next in 900ms)"
		b.expect("stream 1 generation 2", "a r1 multinic0 "+failed, "b  multinic1 "+failed)
		if said := b.logs.FilterMessage("the kernel could not be read").Len(); said != 1 {
			b.Errorf("said %d times, want once", said)
		}
		b.kernel.mu.Lock()
		b.kernel.unreadable = nil
		b.kernel.mu.Unlock()
		time.Sleep(time.Second)
		synctest.Wait()
		b.expect("stream 1 generation 2", "a r1 multinic0 READY", "b  multinic1 READY")
	})
}
