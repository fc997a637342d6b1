package vm_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"multinic.dev/lab/fleet"
	"multinic.dev/testbed/monitor"
	"multinic.dev/testbed/oracle"
)

const (
	ten = 10
	// bad is the card whose row cannot be carried out, among others on both sides.
	bad     = 4
	badName = "multinic4"
)

// TestTenRowsAreOneActivationAndABadOneDisturbsNoOther has ten rows come at once for ten cards that nobody has taken yet, one of which asks
// for an address that a host on the wire has; has that one tried again and again, and mended; and then has all ten change at once.
func TestTenRowsAreOneActivationAndABadOneDisturbsNoOther(t *testing.T) {
	t.Parallel()
	onBothByBoth(t, setup{cards: ten}, func(t *testing.T, h *host) {
		t.Helper()
		rows, names := make([]fleet.Row, ten), map[string]string{}
		for card := range ten {
			rows[card] = fleet.Row{
				Node: nodeName, MAC: mac(card), Address: fmt.Sprintf("10.%d.0.10", card+1), Mask: "24", Gateway: fmt.Sprintf("10.%d.0.1", card+1),
			}
			names[mac(card)] = fmt.Sprint("multinic", card)
		}
		its := []string{"eth5", badName} // The links of the card with the bad row.
		h.wire.AddHost(h.name("neighbour"), "10.5.0.99/24")
		rows[bad].Address = "10.5.0.99"
		h.node.StartExecutor()
		h.fleet.AwaitSession(nodeName)
		w, m := h.witness(), h.listen()

		h.fleet.Rewrite(rows...)
		h.fleet.AwaitFlags("1 1 1 1 0 1 1 1 1 1")
		w.wantReloads("ten rows at once")
		h.wantActivated("ten rows at once")
		h.wantOnceTogether("ten rows at once", 1, bad)
		h.fleet.AwaitResult(nodeName, mac(bad), "FAILED ADDRESS_IN_USE: 10.5.0.99 is in use on the wire")
		for card := range ten {
			if result := h.fleet.Result(nodeName, mac(card)); card != bad && result != "READY" {
				t.Errorf("card %d: %s", card, result)
			}
		}
		if len(m.Mark(t)) == 0 {
			t.Error("the monitor has not heard of a first apply")
		}
		files := h.files("*" + badName + "*")

		for range 2 {
			h.retry(mac(bad))
		}
		events := m.Mark(t)
		if heard := othersThan(its, moved(slices.Clone(events))); len(heard) > 0 {
			t.Errorf("while the bad row is tried again: %s", timed(heard))
		}
		if !slices.ContainsFunc(events, func(e monitor.Event) bool { return e.Kind == "link new" && e.Link == badName }) {
			t.Errorf("while the bad row is tried again, nothing is done to its card: %s", timed(events))
		}
		h.still(func() { h.right("with a bad row", oracle.Expect{Names: names, Without: []string{mac(bad)}}, rows...) })

		rows[bad].Address = "10.5.0.10"
		w.since()
		h.fleet.SQL("UPDATE multi_interface SET ip_address = '10.5.0.10' WHERE mac_address = '" + mac(bad) + "'")
		h.fleet.AwaitAll()
		w.wantReloads("the bad row is mended")
		if heard := othersThan(its, moved(m.Mark(t))); len(heard) > 0 {
			t.Errorf("while the bad row is mended: %s", timed(heard))
		}
		if is := h.files("*" + badName + "*"); is != files {
			t.Errorf("the files of the others are\n%s\nand were\n%s", is, files)
		}
		h.right("with the bad row mended", oracle.Expect{}, rows...)
		h.wantOnceTogether("with the bad row mended", 1, bad)

		for card := range rows {
			rows[card].Address = fmt.Sprintf("10.%d.0.11", card+1)
		}
		before := h.said(begun, mac(bad))
		h.fleet.Rewrite(rows...)
		h.fleet.AwaitAll()
		if transactions := w.wantReloads("ten rows change at once"); transactions != 1 {
			t.Errorf("ten rows change at once: there were %d transactions", transactions)
		}
		h.wantActivated("ten rows change at once")
		h.wantOnceTogether("ten rows change at once", 2, bad)
		if again := h.said(begun, mac(bad)) - before; again != 1 {
			t.Errorf("ten rows change at once: that which was bad was begun %d times", again)
		}
		if heard := othersThan(its, moved(m.Mark(t))); len(heard) == 0 {
			t.Error("the monitor has not heard of a change of the others")
		}
		h.right("ten rows changed", oracle.Expect{}, rows...)
	})
}

// retry has an operator ask for another try of what has failed, and waits until that has ended for a card.
func (h *host) retry(mac string) {
	h.Helper()
	const asks = "an operator asks for another try"
	before := strings.Count(h.node.Executor.Log(), asks)
	h.fleet.Retry(nodeName)
	h.fleet.Until(func() bool {
		log := h.node.Executor.Log()

		return strings.Count(log, asks) > before && said(log[strings.LastIndex(log, asks):], finished, mac) > 0
	}, func() string { return mac + " is not tried again" })
}

// wantOnceTogether says that the executor has changed each of ten cards but one so many times, and that it began to change each of them
// before it was done with any.
func (h *host) wantOnceTogether(when string, times, but int) {
	h.Helper()
	for card := range ten {
		if is := [2]int{h.said(begun, mac(card)), h.said(finished, mac(card))}; card != but && is != [2]int{times, times} {
			h.Errorf("%s: card %d was begun and finished %v times, want %d", when, card, is, times)
		}
	}
	under := 0
	for line := range strings.Lines(h.node.Executor.Log()) {
		for card := range ten {
			switch {
			case card == but || !strings.Contains(line, mac(card)):
			case strings.Contains(line, `"`+begun+`"`):
				under++
			case strings.Contains(line, `"`+finished+`"`) && under%(ten-1) != 0:
				h.Errorf("%s: card %d was finished before all others were begun", when, card)
			}
		}
	}
}
