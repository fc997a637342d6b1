package inventory_test

import (
	"testing"

	"multinic.dev/dispatcher/internal/inventory"
	"multinic.dev/dispatcher/internal/row"
)

// standing is a node whose only row is 1 and was sent to it.
func standing(t *testing.T) (*inventory.Node, inventory.WorkSet) {
	t.Helper()
	n := inSession(at(1, addressA, true))

	return n, next(t, n)
}

// disproof is a report that settles the only item of a WorkSet otherwise than READY, at a generation.
func disproof(work inventory.WorkSet, generation uint64) inventory.Report {
	return inventory.Report{
		Generation: generation, Disproofs: []inventory.Disproof{{Key: work.Items[0].Key, Revision: work.Items[0].Revision}},
	}
}

func TestAFlagIsTakenBackWhenItsNodeSettlesTheRowOtherwise(t *testing.T) {
	n, work := standing(t)
	n.Report(disproof(work, 1))
	rows := n.Decided(100)
	if ids(rows) != "[1]" || ids(n.Decided(100)) != "[]" {
		t.Fatalf("decided %s", ids(rows))
	}
	if !n.Confirm(rows[0]) {
		t.Error("it is not confirmed")
	}
	n.Settle(rows[0], true)
	if n.Rows()[0].Committed {
		t.Error("the row stands at 1 still")
	}
	// Read anew, it waits to be proved again like any other.
	n.SetRows([]row.Row{at(1, addressA, false)})
	n.Report(inventory.Report{Proofs: proof(next(t, n), 2)})
	if got := ids(n.Decided(100)); got != "[1]" {
		t.Errorf("proved again: %s", got)
	}
}

func TestNothingElseTakesAFlagBack(t *testing.T) {
	for _, test := range []struct {
		name   string
		report func(work inventory.WorkSet) inventory.Report
	}{
		{"no report of it", func(inventory.WorkSet) inventory.Report { return inventory.Report{Generation: 1} }},
		{"a report that takes no WorkSet of the session into account", func(work inventory.WorkSet) inventory.Report { return disproof(work, 0) }},
		{"a report of a WorkSet to come", func(work inventory.WorkSet) inventory.Report { return disproof(work, 2) }},
		{"another revision", func(work inventory.WorkSet) inventory.Report {
			report := disproof(work, 1)
			report.Disproofs[0].Revision = "x"

			return report
		}},
		{"another key", func(work inventory.WorkSet) inventory.Report {
			report := disproof(work, 1)
			report.Disproofs[0].Key.VLAN = 5

			return report
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			n, work := standing(t)
			n.Report(test.report(work))
			if got := ids(n.Decided(100)); got != "[]" {
				t.Errorf("decided %s", got)
			}
		})
	}
}

// TestWhatFailedOfTheFirstADoesNotTakeTheSecondBack is about a report that is late: the node failed at the first A, and the row went to
// B and back to A since.
func TestWhatFailedOfTheFirstADoesNotTakeTheSecondBack(t *testing.T) {
	n, first := standing(t)
	n.SetRows([]row.Row{at(1, addressB, true)})
	next(t, n)
	n.SetRows([]row.Row{at(1, addressA, true)})
	third := next(t, n)
	for generation := uint64(1); generation <= 2; generation++ {
		n.Report(disproof(first, generation))
		if got := ids(n.Decided(100)); got != "[]" {
			t.Errorf("at generation %d: decided %s", generation, got)
		}
	}
	n.Report(disproof(third, 3)) // The control.
	if got := ids(n.Decided(100)); got != "[1]" {
		t.Errorf("decided %s", got)
	}
}

func TestAFlagIsNotTakenBackOnceTheNodeHasChangedItsMind(t *testing.T) {
	n, work := standing(t)
	n.Report(disproof(work, 1))
	r := n.Decided(100)[0]
	n.Report(inventory.Report{Generation: 1, Proofs: proof(work, 1)})
	if n.Confirm(r) {
		t.Error("it is confirmed")
	}
	n.Report(disproof(work, 1))
	if got := ids(n.Decided(100)); got != "[1]" {
		t.Errorf("when it is disproved again: %s", got)
	}
}

func TestARowThatCannotBeUsedIsTakenBackWithoutAWordOfItsNode(t *testing.T) {
	bad := at(1, "192.0.2.999", true)
	n := &inventory.Node{}
	n.SetRows([]row.Row{bad})
	if rows := n.Decided(100); ids(rows) != "[1]" || !n.Confirm(rows[0]) {
		t.Errorf("decided %s", ids(rows))
	}
	n = &inventory.Node{}
	n.SetAmbiguous([]row.Row{at(1, addressA, true)}, "it fits two")
	if got := ids(n.Decided(100)); got != "[]" {
		t.Errorf("of one that is ambiguous: %s", got)
	}
}
