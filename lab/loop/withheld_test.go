package loop_test

import (
	"testing"

	"multinic.dev/lab/fleet"
)

// witness is a node of its own, whose row goes from 0 to 1 whenever a test wants to know that the dispatcher has done all
// that earlier reports were going to cause: it commits what it has learnt in that order.
const witness = "witness"

// TestAReportThatWasWithheldMakesNoRowSayWhatWasNotProved is the lie that must not happen: a node proves A while its row
// says B already, and while it says A again.
func TestAReportThatWasWithheldMakesNoRowSayWhatWasNotProved(t *testing.T) {
	f := newFleet(t)
	f.Insert(
		fleet.Row{Node: nodeName(1), MAC: mac(1, 0), Address: "10.1.0.10", Mask: "24"},
		fleet.Row{Node: witness, MAC: mac(2, 0), Address: "10.2.0.10", Mask: "24"})
	f.StartDispatcher()
	executor, other := play(t, f, nodeName(1)), play(t, f, witness)
	executor.report()
	other.report()
	becomes := func(address string) {
		t.Helper()
		f.SQL("UPDATE multi_interface SET ip_address = '" + address + "' WHERE attached_node_name = '" + nodeName(1) + "'")
	}
	// flags are those of both rows, once whatever was reported so far has had its effect.
	flags := func(want string) {
		t.Helper()
		f.SQL("UPDATE multi_interface SET netplan_success = 0 WHERE attached_node_name = '" + witness + "'")
		other.prove(other.work("10.2.0.10/24"))
		f.AwaitFlags(want)
	}

	first := executor.work("10.1.0.10/24")
	becomes("10.1.0.20")
	second := executor.work("10.1.0.20/24")
	executor.prove(first)
	flags("0 1")

	becomes("10.1.0.10")
	third := executor.work("10.1.0.10/24")
	if first.GetItems()[0].GetRevision() != third.GetItems()[0].GetRevision() {
		t.Fatalf("the same content has the revisions %v and %v", first, third)
	}
	executor.prove(first)
	flags("0 1")
	executor.prove(second)
	flags("0 1")

	// The control: the same proof under the generation that came after the row was A again is believed.
	executor.prove(third)
	flags("1 1")
}

func TestAReportThatIsAheadOfItsWorkProvesNothing(t *testing.T) {
	f := newFleet(t)
	f.Insert(
		fleet.Row{Node: nodeName(1), MAC: mac(1, 0), Address: "10.1.0.10", Mask: "24"},
		fleet.Row{Node: witness, MAC: mac(2, 0), Address: "10.2.0.10", Mask: "24"})
	f.StartDispatcher()
	other := play(t, f, witness)
	other.report()
	former := play(t, f, nodeName(1))
	former.report()
	work := former.work("10.1.0.10/24")
	// A session begins with what another one was told: under its own first generation, which is yet to come, that would say
	// that the row is true.
	executor := play(t, f, nodeName(1))
	executor.prove(work)
	again := executor.work("10.1.0.10/24")
	if again.GetGeneration() != work.GetGeneration() {
		t.Fatalf("the second session begins with %v, the first with %v", again, work)
	}
	other.prove(other.work("10.2.0.10/24"))
	f.AwaitFlags("0 1")

	// The control: said after it was told, the same is believed.
	executor.prove(again)
	f.AwaitFlags("1 1")
}
