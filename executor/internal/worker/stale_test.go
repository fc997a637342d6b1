package worker_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/transaction"
)

// TestNothingIsSaidToBeReadyThatIsStillToBePutBack has an executor that was killed just before the end of a transaction, and a
// kernel that cannot be read when the next one starts.
func TestNothingIsSaidToBeReadyThatIsStillToBePutBack(t *testing.T) {
	play(t, []string{macA, macB}, func(b *bench) {
		b.want(1, 1, item(macA, "r1", "192.0.2.10/24"))
		kernel, _ := b.kernel.Read(t.Context())
		entry := transaction.Entry{
			Machine: "m", Boot: "b", Cards: []plan.Former{plan.FormerOf(macA, []string{"multinic0"}, kernel)}, Record: b.record.Cards(),
		}
		b.want(1, 2, item(macA, "r2", "192.0.2.11/24"))
		b.end()
		if err := transaction.OpenJournal(b.dir).Begin(entry); err != nil {
			t.Fatal(err)
		}
		b.quietly(func() { b.kernel.unreadable = errors.New("interrupted") })
		b.restart()
		b.want(1, 1, item(macA, "r2", "192.0.2.11/24"))
		// Now the kernel can be read, and wakes somebody, but its time to put things back has not come.
		b.kernel.happen(func() { b.kernel.unreadable = nil })
		b.settle()
		report, _ := b.reports.Get()
		if !strings.Contains(report.Results[0].Problem.Message, "is still to be put back") {
			t.Errorf("reported is %+v", report.Results[0])
		}
		time.Sleep(time.Second)
		b.settle()
		b.expect("stream 1 generation 1", "a r2 multinic0 READY")
		if has := b.holders("192.0.2.10"); len(has) > 0 {
			t.Errorf("192.0.2.10 is on %v", has)
		}
		if b.logs.FilterMessage("rolled back").Len() != 1 {
			t.Errorf("rolled back %d times", b.logs.FilterMessage("rolled back").Len())
		}
		b.kernel.took()
		b.want(1, 2, item(macA, "r2", "192.0.2.11/24"), item(macB, "r4", "198.51.100.10/24"))
		for _, change := range b.kernel.took() {
			if strings.Contains(change, "multinic0") || strings.Contains(change, "192.0.2.1") {
				t.Errorf("disturbed afterwards: %s", change)
			}
		}
	})
}
