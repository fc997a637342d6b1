package worker_test

import (
	"slices"
	"testing"
	"time"
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
