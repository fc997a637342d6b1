package pace

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"testing"
	"time"

	"multinic.dev/lab/giver"
	"multinic.dev/testbed/monitor"
)

// Host is a machine with Netplan, which has ten cards that are multinic's.
type Host interface {
	// MustRun runs a program there, and returns what it has printed.
	MustRun(name string, args ...string) string
	// Write makes a file there, or replaces it.
	Write(file string, mode fs.FileMode, text string)
}

// Bench is a host whose executor has its work from a giver. All fields must be set.
type Bench struct {
	Host  Host
	Giver *giver.Giver
	// MAC is the address of one of the ten cards.
	MAC func(card int) string
	// Other is the name of one further card, which is the host's own: Netplan has its address from OtherFile.
	Other string
	// Activation is what the executor must say that it makes changes live by: "kernel" or "manager".
	Activation string
	// Listen listens to the host's kernel.
	Listen func() *monitor.Monitor
	// Stat is what proc_pid_stat(5) has of the executor.
	Stat func() string
	// Stop ends the executor in good order.
	Stop func() error
	// Rounds is how often each is measured; an odd number.
	Rounds int
}

// OtherFile is the file of Netplan's that Bench changes.
const OtherFile = "/etc/netplan/60-other.yaml"

// Measure measures the executor from a WorkSet sent to the report that proves it: one changed row and ten of ten, and rows that are true
// already, with how many netlink events of the whole host those make, and how many pages the commands touch that the executor runs for
// them, which is none for no command. Beside it stands, on the same host in the same run, one plain `netplan apply` of one changed address,
// once the executor has ended. A third of a second of the executor's time is the question whether the address is in use, which Netplan does
// not ask.
func (bench Bench) Measure(b *testing.B) {
	b.Helper()
	rows := NewRows(bench.MAC)
	change := func(count int) time.Duration {
		took := bench.Giver.Took(b, rows.Change(count))
		if got := bench.Giver.Activation(); got != bench.Activation {
			b.Errorf("made live by %q, want %q", got, bench.Activation)
		}

		return took
	}
	for b.Loop() {
		change(Cards)
		var ones, tens, applies []time.Duration
		for range bench.Rounds { // In turn, so that what else the machine does concerns both.
			ones, tens = append(ones, change(1)), append(tens, change(Cards))
		}
		one, ten := Median(ones), Median(tens)
		unchanged, events, pages := bench.unchanged(b, func() time.Duration { return change(0) })
		if err := bench.Stop(); err != nil {
			b.Fatal(err)
		}
		for round := range bench.Rounds {
			bench.Host.Write(OtherFile, 0o600, NetplanOf(bench.Other, fmt.Sprintf("10.9.0.%d/24", 11+round)))
			began := time.Now()
			bench.Host.MustRun("netplan", "apply")
			applies = append(applies, time.Since(began))
		}
		plain := Median(applies)
		b.ReportMetric(milliseconds(one), "ms-one-row")
		b.ReportMetric(milliseconds(plain), "ms-netplan-apply")
		b.ReportMetric(one.Seconds()/plain.Seconds(), "one-to-netplan-apply")
		b.ReportMetric(ten.Seconds()/one.Seconds(), "ten-to-one")
		b.ReportMetric(milliseconds(unchanged), "ms-unchanged")
		b.ReportMetric(float64(events), "events-unchanged")
		b.ReportMetric(float64(pages), "command-pages-unchanged")
		b.ReportMetric(0, "ns/op")
	}
}

// unchanged measures rows that are true already: how long they take, how many events the host's kernel tells of meanwhile, and how many
// pages commands have touched that the executor has run meanwhile.
func (bench Bench) unchanged(b *testing.B, measure func() time.Duration) (median time.Duration, events, pages int) {
	b.Helper()
	before := bench.pages(b)
	if before == 0 {
		b.Error("the executor has run no command for rows that have changed, so none for others proves nothing")
	}
	m := bench.Listen()
	m.Mark(b) // What was before is none of it.
	var took []time.Duration
	for range bench.Rounds {
		took = append(took, measure())
	}

	return Median(took), len(m.Mark(b)), bench.pages(b) - before
}

// pages are how many pages the commands have touched that the executor has run and that have ended.
func (bench Bench) pages(b *testing.B) int {
	b.Helper()
	// The name, in parentheses, may have anything in it; the minor faults of children are the ninth field after it.
	stat := bench.Stat()
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 9 {
		b.Fatalf("the executor's stat is %q", stat)
	}
	pages, err := strconv.Atoi(fields[8])
	if err != nil {
		b.Fatalf("the executor's stat is %q: %v", stat, err)
	}

	return pages
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1000 }

// NetplanOf is a file of the host's own that gives a card an address.
func NetplanOf(card, address string) string {
	return fmt.Sprintf("network: {version: 2, ethernets: {%s: {addresses: [%s], accept-ra: false, link-local: []}}}\n", card, address)
}
