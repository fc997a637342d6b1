package worker_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"multinic.dev/executor/internal/plan"
)

// reads is how often the kernel was read.
func (b *bench) reads() (reads int) {
	b.quietly(func() { reads = b.kernel.reads })

	return reads
}

// TestASettingOfWhichTheKernelGivesNoSignIsPutRightWithinAMinute also counts how often the kernel is read meanwhile.
func TestASettingOfWhichTheKernelGivesNoSignIsPutRightWithinAMinute(t *testing.T) {
	play(t, []string{macA}, func(b *bench) {
		b.want(1, 1, item(macA, "r1", "192.0.2.10/24"))
		b.kernel.took()
		reads := b.reads()
		b.quietly(func() { b.kernel.has.Links[1].Settings["ipv4/conf/%s/arp_ignore"] = "0" })
		time.Sleep(time.Minute)
		b.settle()
		if took := b.kernel.took(); !slices.Equal(took, []string{"sysctl net/ipv4/conf/multinic0/arp_ignore=1"}) {
			t.Errorf("after a minute: %q", took)
		}
		b.expect("stream 1 generation 1", "a r1 multinic0 READY")
		repair := b.reads() - reads
		time.Sleep(10 * time.Minute)
		b.settle()
		if quiet := b.reads() - reads - repair; quiet != 10 {
			t.Errorf("read %d times in ten minutes in which nothing happened", quiet)
		}
	})
}

// TestAFailureThatTookLongIsTriedAgainAsSoonAsAnother counted from its end: what it would have been tried again at by its beginning is long
// gone by then, and nothing else would have it tried.
func TestAFailureThatTookLongIsTriedAgainAsSoonAsAnother(t *testing.T) {
	play(t, []string{macA}, func(b *bench) {
		b.kernel.before = func(change plan.Change) {
			if strings.HasPrefix(change.String(), "address add") {
				time.Sleep(10 * time.Second)
			}
		}
		b.kernel.refuse = func(change plan.Change) error {
			if strings.HasPrefix(change.String(), "address add") {
				return errors.New("no buffer space available")
			}

			return nil
		}
		b.want(1, 1, item(macA, "r1", "192.0.2.10/24"))
		time.Sleep(10 * time.Second)
		b.expect("stream 1 generation 1",
			"a r1 multinic0 FAILED APPLY_FAILED: address add 192.0.2.10/24 dev multinic0 noprefixroute: no buffer space available (attempt 1, next in 900ms)")
		time.Sleep(11500 * time.Millisecond)
		if attempts := attemptsOf0(b); attempts != 2 {
			t.Errorf("there were %d attempts", attempts)
		}
	})
}

// attemptsOf0 is how often the first item was tried in vain, by the newest report.
func attemptsOf0(b *bench) uint32 {
	report, _ := b.reports.Get()

	return report.Results[0].Attempts
}
