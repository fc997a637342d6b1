package vm_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"multinic.dev/lab/fleet"
	"multinic.dev/testbed/monitor"
	"multinic.dev/testbed/oracle"
	"multinic.dev/testbed/vm"
)

const (
	// soon is how long it may take from the first that the kernel says of an event to the last that it says of its repair, by the
	// guest's clock. On a machine it is a tenth of a second to a second, most of it netplan's generator; a guest is some twenty times as
	// slow, and slower where others use the machine as well.
	soon = 20 * time.Second
	// calm is for how long nothing may move after that. In a fight each blow would follow the other at once, or after the second or two
	// for which the executor leaves alone what it has just repaired.
	calm = 4 * time.Second
)

// TestACardComesAndGoesAndStaysRight by whatever happens to it, each time with one repair at most and no fight: a card whose row is there first,
// and what people and programs on the host do to it. The other card of the host is not disturbed by any of it that is not about it.
func TestACardComesAndGoesAndStaysRight(t *testing.T) {
	t.Parallel()
	onBothByBoth(t, setup{cards: 1}, func(t *testing.T, h *host) {
		t.Helper()
		rows := []fleet.Row{
			{Node: nodeName, MAC: mac(0), Address: "10.1.0.10", Mask: "24", Gateway: "10.1.0.1"},
			{Node: nodeName, MAC: mac(1), Address: "10.2.0.10", Mask: "24", Gateway: "10.2.0.1"},
		}
		h.fleet.Insert(rows...)
		h.node.StartExecutor()
		h.fleet.AwaitFlags("1 0")
		h.fleet.AwaitResult(nodeName, mac(1), "WAITING_FOR_LINK")
		absent := oracle.Expect{Without: []string{mac(1)}}
		h.right("before the card is there", absent, rows...)
		t.Logf("netplan's generator, which takes a fortieth of a second on a machine, takes %s here", h.generates())

		var card *vm.NIC
		in := func(plugIn func() *vm.NIC) func(t *testing.T) {
			return func(t *testing.T) {
				t.Helper()
				e := event{by: func() { card = plugIn() }, repairs: 1, quiet: "multinic0"}
				if h.byManager && card != nil {
					e.repairs = 0 // A networkd that knows a card's files sets it up by itself when it comes.
				}
				h.happens(t, e, rows)
				h.wantActivated("plugged in")
			}
		}
		out := func(t *testing.T) {
			t.Helper()
			m := h.listen()
			card.Unplug()
			h.fleet.AwaitResult(nodeName, mac(1), "WAITING_FOR_LINK")
			h.fleet.AwaitFlags("1 0")
			// Nothing is left of it: the kernel takes its addresses and routes away, and the executor the rules, a moment later.
			left := "not looked at"
			h.fleet.Until(func() bool {
				left = h.node.Judge(oracle.Expect{ByManager: true, Without: absent.Without}, rows...)

				return left == ""
			}, func() string { return "without the card the kernel:\n" + left })
			for _, e := range m.Mark(t) {
				if e.Link == "multinic0" {
					t.Errorf("the other card was disturbed: %v", e)
				}
			}
			time.Sleep(calm)
			if events := moved(m.Mark(t)); len(events) > 0 {
				t.Errorf("after the card was unplugged: %v", events)
			}
		}
		for _, test := range []struct {
			what string
			test func(t *testing.T)
		}{
			{"plugged in", in(func() *vm.NIC { return h.node.PlugIn(mac(1), h.wire) })},
			{"unplugged", out},
			{"plugged in again", in(func() *vm.NIC { return card.PlugInAgain() })},
			{"unplugged again", out},
			{"plugged in on another slot", in(func() *vm.NIC { return card.PlugInAgain(vm.Slot(0x1e)) })},
		} {
			if !t.Run(test.what, test.test) {
				t.FailNow()
			}
		}

		for _, test := range []struct {
			what    string
			command string
			// repairs are how many the card needs at least: what networkd does of itself may need none.
			repairs int
			// quiet is the card that is not disturbed; empty: all may be.
			quiet string
		}{
			{"renamed by hand", "printf 'link set multinic1 down\nlink set multinic1 name mine\nlink set mine up\n' | ip -batch -", 1, "multinic0"},
			{"address removed by hand", "ip address flush dev multinic1 scope global", 1, "multinic0"},
			{"networkd restarted", "systemctl restart " + networkd, 0, ""},
			// It has networkd read its files, and then set up each link anew.
			{"netplan apply", "netplan apply", 0, ""},
		} {
			t.Run(test.what, func(t *testing.T) {
				// Who changes an interface again and again is answered ever more slowly: this executor has repaired nothing yet.
				h.restart()
				h.fleet.AwaitAll()
				h.happens(t, event{by: func() { h.node.MustRun("sh", "-c", test.command) }, repairs: test.repairs, quiet: test.quiet}, rows)
			})
		}
	})
}

// generates is how long the guest takes for netplan's generator, by its own clock.
func (h *host) generates() time.Duration {
	h.Helper()
	took := h.node.MustRun("sh", "-ec", `
mkdir -p /run/yardstick/etc/netplan
cp /etc/netplan/50-cloud-init.yaml /run/yardstick/etc/netplan
began=$(date +%s%N)
`+h.generator()+` --root-dir /run/yardstick
echo $(($(date +%s%N) - began))ns`)
	duration, err := time.ParseDuration(strings.TrimSpace(took))
	if err != nil {
		h.Fatal(err)
	}

	return duration.Round(time.Millisecond)
}

// event is something that happens to a card.
type event struct {
	by func()
	// repairs are how many the second card needs at least. No card may need more than one.
	repairs int
	// quiet is the card that is not disturbed; empty: all may be.
	quiet string
}

// happens has something happen to the second card, and says that all is right soon, by so many repairs, and stays so.
func (h *host) happens(t *testing.T, e event, rows []fleet.Row) {
	t.Helper()
	m := h.listen()
	before := []int{h.said(begun, mac(0)), h.said(begun, mac(1))}
	e.by()
	wrong := "not looked at"
	h.fleet.Until(func() bool {
		wrong = h.node.Judge(oracle.Expect{ByManager: true}, rows...)

		return wrong == "" && h.fleet.Flags() == "1 1"
	}, func() string { return "the flags are " + h.fleet.Flags() + ", and the kernel is\n" + wrong })
	events := moved(m.Mark(t))
	if len(events) == 0 {
		t.Fatal("nothing has happened")
	}
	for _, event := range events {
		if e.quiet != "" && event.Link == e.quiet {
			t.Errorf("%s was disturbed: %v", e.quiet, event)
		}
	}
	took := events[len(events)-1].At.Sub(events[0].At)
	if took > soon {
		t.Errorf("it took %v: %s", took, timed(events))
	}
	time.Sleep(calm)
	if later := moved(m.Mark(t)); len(later) > 0 {
		t.Errorf("later there was %s", timed(later))
	}
	repaired := []int{h.said(begun, mac(0)) - before[0], h.said(begun, mac(1)) - before[1]}
	if repaired[1] < e.repairs || max(repaired[0], repaired[1]) > 1 || e.quiet != "" && repaired[0] > 0 {
		t.Errorf("the cards were repaired %v times", repaired)
	}
	t.Logf("%d events in %v of the guest's time, repairs %v", len(events), took.Round(time.Millisecond), repaired)
	h.right("in the end", oracle.Expect{}, rows...)
}

// moved are events but for those of a link's own address, which the kernel gives it in its own time.
func moved(events []monitor.Event) []monitor.Event {
	return slices.DeleteFunc(events, func(e monitor.Event) bool {
		return strings.HasPrefix(e.Text, "fe80:") || strings.HasPrefix(e.Text, "ff00:")
	})
}

// timed words events with their times, counted from the first.
func timed(events []monitor.Event) string {
	var text strings.Builder
	for _, e := range events {
		fmt.Fprintf(&text, "\n%8v %v", e.At.Sub(events[0].At).Round(time.Millisecond), e)
	}

	return text.String()
}
