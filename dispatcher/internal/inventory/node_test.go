package inventory_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"multinic.dev/dispatcher/internal/inventory"
	"multinic.dev/dispatcher/internal/row"
)

// at is the good row with an address, an id, and whether it is committed.
func at(id int64, address string, committed bool) row.Row {
	r := good()
	r.ID, r.Address, r.Committed = id, row.Text(address), committed

	return r
}

const (
	addressA = "192.0.2.10"
	addressB = "192.0.2.20"
)

// inSession is a node with rows and a session that has reported that it has nothing.
func inSession(rows ...row.Row) *inventory.Node {
	n := &inventory.Node{}
	n.SetRows(rows)
	n.Open()
	n.Report(inventory.Report{})

	return n
}

// next is the WorkSet that must be there.
func next(t *testing.T, n *inventory.Node) inventory.WorkSet {
	t.Helper()
	work, due := n.Next()
	if !due {
		t.Fatal("no WorkSet is due")
	}

	return work
}

// proof is that of a WorkSet's only item, at a generation.
func proof(work inventory.WorkSet, generation uint64) []inventory.Proof {
	return []inventory.Proof{{Key: work.Items[0].Key, Revision: work.Items[0].Revision, Generation: generation}}
}

func ids(rows []row.Row) string {
	var all []int64
	for _, r := range rows {
		all = append(all, r.ID)
	}

	return fmt.Sprint(all)
}

func TestNoWorkIsMadeBeforeTheTableWasReadAndTheNodeHasReported(t *testing.T) {
	n := &inventory.Node{}
	step := func(name string, do func(), want bool) {
		t.Helper()
		do()
		if _, due := n.Next(); due != want {
			t.Errorf("after %s: due %v, want %v", name, due, want)
		}
	}
	step("nothing", func() {}, false)
	step("a session", func() { n.Open() }, false)
	step("its report", func() { n.Report(inventory.Report{}) }, false)
	step("the rows", func() { n.SetRows([]row.Row{at(1, addressA, false)}) }, true)
	step("nothing new", func() { n.SetRows([]row.Row{at(1, addressA, false)}) }, false)
	step("the session's end", func() { n.Close() }, false)
	step("another session", func() { n.Open() }, false)
	step("its report", func() { n.Report(inventory.Report{}) }, true)
}

func TestARowIsCommittedOnceItsRevisionIsProvedAtAGenerationMadeAfterItWasRead(t *testing.T) {
	n := inSession(at(1, addressA, false))
	work := next(t, n)
	if work.Generation != 1 || len(work.Items) != 1 {
		t.Fatalf("work %+v", work)
	}
	for _, test := range []struct {
		name   string
		proofs []inventory.Proof
		want   string
	}{
		{"nothing", nil, "[]"},
		{"an earlier session's", proof(work, 0), "[]"},
		{"a generation that was never made", proof(work, 2), "[]"},
		{"another revision", []inventory.Proof{{Key: work.Items[0].Key, Revision: "x", Generation: 1}}, "[]"},
		{"another key", []inventory.Proof{{Key: inventory.Key{MAC: "02:00:5e:00:53:99"}, Revision: work.Items[0].Revision, Generation: 1}}, "[]"},
		{"the very thing", proof(work, 1), "[1]"},
		{"the same again, while it is being committed", proof(work, 1), "[]"},
	} {
		n.Report(inventory.Report{Proofs: test.proofs})
		if got := ids(n.Decided(100)); got != test.want {
			t.Errorf("%s: to be committed %s, want %s", test.name, got, test.want)
		}
	}
	n.Settle(at(1, addressA, false), true)
	if !n.Settled() || n.Pending() != 0 {
		t.Error("a committed row is not settled")
	}
	n.SetRows([]row.Row{at(1, addressA, true)})
	if _, due := n.Next(); due {
		t.Error("reading the commit back makes new work")
	}
}

func TestWhatWasProvedOfTheFirstADoesNotCommitTheSecond(t *testing.T) {
	a, b := at(1, addressA, false), at(1, addressB, false)
	again := a
	again.UpdatedAt = row.Text("2026-01-01 00:00:01")

	n := inSession(a)
	first := next(t, n)
	n.SetRows([]row.Row{b})
	second := next(t, n)
	n.Report(inventory.Report{Proofs: proof(first, 1)})
	if got := ids(n.Decided(100)); got != "[]" {
		t.Errorf("A was proved, the row says B, and %s would be committed", got)
	}
	n.SetRows([]row.Row{again})
	third := next(t, n)
	if third.Generation != 3 || third.Items[0].Revision != first.Items[0].Revision || second.Items[0].Revision == first.Items[0].Revision {
		t.Fatalf("work %+v, %+v, %+v", first, second, third)
	}
	for generation := uint64(1); generation <= 2; generation++ {
		n.Report(inventory.Report{Proofs: proof(first, generation)})
		if got := ids(n.Decided(100)); got != "[]" {
			t.Errorf("A was proved at generation %d, before it was read again, and %s would be committed", generation, got)
		}
	}
	n.Report(inventory.Report{Proofs: proof(third, 3)})
	if got := ids(n.Decided(100)); got != "[1]" {
		t.Errorf("A was proved at generation 3, and %s would be committed", got)
	}
}

func TestAProofUnderAGenerationToComeNeverCounts(t *testing.T) {
	a, b := at(1, addressA, false), at(1, addressB, false)
	n := inSession(a)
	first := next(t, n)
	n.Report(inventory.Report{Proofs: proof(first, 3)})
	n.SetRows([]row.Row{b})
	next(t, n)
	n.SetRows([]row.Row{a})
	third := next(t, n)
	if got := ids(n.Decided(100)); third.Generation != 3 || got != "[]" {
		t.Errorf("generation 3 was claimed before it was made; now it is %d, and %s would be committed", third.Generation, got)
	}
	n.Report(inventory.Report{Proofs: proof(third, 3)})
	if got := ids(n.Decided(100)); got != "[1]" {
		t.Errorf("A was proved at generation 3, and %s would be committed", got)
	}
}

func TestARowThatWasTouchedBetweenTwoReadsIsProvedAnew(t *testing.T) {
	a := at(1, addressA, false)
	touched := a
	touched.UpdatedAt = row.Text("2026-01-01 00:00:01")
	n := inSession(a)
	work := next(t, n)
	n.SetRows([]row.Row{touched})
	n.Report(inventory.Report{Proofs: proof(work, 1)})
	if got := ids(n.Decided(100)); got != "[]" {
		t.Errorf("proved before the row was touched, and %s would be committed", got)
	}
	n.Report(inventory.Report{Proofs: proof(next(t, n), 2)})
	if got := n.Decided(100); len(got) != 1 || got[0] != touched {
		t.Errorf("to be committed %+v", got)
	}
}

func TestTheSameContentUnderNewIDsIsProvedAnew(t *testing.T) {
	n := inSession(at(1, addressA, true))
	first := next(t, n)
	n.SetRows([]row.Row{at(2, addressA, false)})
	second := next(t, n)
	if second.Generation != 2 || second.Items[0].Revision != first.Items[0].Revision || fmt.Sprint(second.Items[0].Rows) != "[2]" {
		t.Errorf("work %+v, then %+v", first, second)
	}
	n.Report(inventory.Report{Proofs: proof(second, 1)})
	if got := ids(n.Decided(100)); got != "[]" {
		t.Errorf("proved before the row was there, and %s would be committed", got)
	}
	n.Report(inventory.Report{Proofs: proof(second, 2)})
	if got := ids(n.Decided(100)); got != "[2]" {
		t.Errorf("to be committed %s", got)
	}
}

func TestAFlagThatWasResetIsProvedAnew(t *testing.T) {
	n := inSession(at(1, addressA, true))
	next(t, n)
	n.SetRows([]row.Row{at(1, addressA, false)})
	if work := next(t, n); work.Generation != 2 {
		t.Errorf("work %+v", work)
	}
}

func TestACommitThatFailedIsReadAndProvedAnew(t *testing.T) {
	a := at(1, addressA, false)
	n := inSession(a)
	work := next(t, n)
	n.Report(inventory.Report{Proofs: proof(work, 1)})
	n.Settle(n.Decided(100)[0], false)
	if got := ids(n.Decided(100)); got != "[]" || n.Settled() {
		t.Errorf("without reading it again, %s would be committed", got)
	}
	n.SetRows([]row.Row{a})
	if got := ids(n.Decided(100)); got != "[]" {
		t.Errorf("without proving it again, %s would be committed", got)
	}
	n.Report(inventory.Report{Proofs: proof(next(t, n), 2)})
	if got := ids(n.Decided(100)); got != "[1]" {
		t.Errorf("to be committed %s", got)
	}
}

func TestACommitUnderWayIsConfirmedOnlyWhileItsProofStands(t *testing.T) {
	a, b := at(1, addressA, false), at(1, addressB, false)
	for _, test := range []struct {
		name      string
		meanwhile func(t *testing.T, n *inventory.Node, work inventory.WorkSet)
		want      bool
	}{
		{"nothing", func(*testing.T, *inventory.Node, inventory.WorkSet) {}, true},
		{"the same report again", func(_ *testing.T, n *inventory.Node, work inventory.WorkSet) {
			n.Report(inventory.Report{Proofs: proof(work, 1)})
		}, true},
		{"the same rows again", func(_ *testing.T, n *inventory.Node, _ inventory.WorkSet) { n.SetRows([]row.Row{a}) }, true},
		{"a report without the proof", func(_ *testing.T, n *inventory.Node, _ inventory.WorkSet) { n.Report(inventory.Report{}) }, false},
		{"the session's end", func(_ *testing.T, n *inventory.Node, _ inventory.WorkSet) { n.Close() }, false},
		{"another session", func(t *testing.T, n *inventory.Node, _ inventory.WorkSet) {
			t.Helper()
			n.Open()
			n.Report(inventory.Report{})
			next(t, n)
		}, false},
		{"another content", func(_ *testing.T, n *inventory.Node, _ inventory.WorkSet) { n.SetRows([]row.Row{b}) }, false},
		{"another content and back", func(t *testing.T, n *inventory.Node, work inventory.WorkSet) {
			t.Helper()
			n.SetRows([]row.Row{b})
			next(t, n)
			n.SetRows([]row.Row{a})
			next(t, n)
			n.Report(inventory.Report{Proofs: proof(work, 1)})
		}, false},
		{"a conflict", func(_ *testing.T, n *inventory.Node, _ inventory.WorkSet) {
			n.SetRows([]row.Row{a, at(2, addressB, false)})
		}, false},
		{"no row", func(_ *testing.T, n *inventory.Node, _ inventory.WorkSet) { n.SetRows(nil) }, false},
	} {
		n := inSession(a)
		work := next(t, n)
		n.Report(inventory.Report{Proofs: proof(work, 1)})
		r := n.Decided(100)[0]
		test.meanwhile(t, n, work)
		if got := n.Confirm(r); got != test.want {
			t.Errorf("%s: confirmed %v, want %v", test.name, got, test.want)
		}
	}
	// One that was not confirmed is committed once it is proved again.
	n := inSession(a)
	work := next(t, n)
	n.Report(inventory.Report{Proofs: proof(work, 1)})
	r := n.Decided(100)[0]
	n.Report(inventory.Report{})
	n.Confirm(r)
	n.Settle(r, false)
	n.Report(inventory.Report{Proofs: proof(work, 1)})
	if got := ids(n.Decided(100)); got != "[1]" {
		t.Errorf("proved again, and %s would be committed", got)
	}
}

func TestNoMoreRowsAreHandedOutThanAreAskedFor(t *testing.T) {
	n := inSession(at(1, addressA, false), at(2, addressA, false), at(3, addressA, false))
	n.Report(inventory.Report{Proofs: proof(next(t, n), 1)})
	if got := ids(n.Decided(2)) + ids(n.Decided(2)) + ids(n.Decided(2)); got != "[1 2][3][]" {
		t.Errorf("handed out %s", got)
	}
}

func TestNothingOfOneSessionCountsInTheNext(t *testing.T) {
	n := inSession(at(1, addressA, false))
	work := next(t, n)
	n.Report(inventory.Report{Proofs: proof(work, 1)})
	n.Open()
	if got := ids(n.Decided(100)); got != "[]" {
		t.Errorf("proved by a session that is gone, and %s would be committed", got)
	}
	n.Report(inventory.Report{Proofs: proof(work, 1)})
	if got := ids(n.Decided(100)); got != "[]" {
		t.Errorf("before the new session was given anything, %s would be committed", got)
	}
	if again := next(t, n); again.Generation != 1 {
		t.Errorf("the new session's first generation is %d", again.Generation)
	}
}

func TestARefusedOrConflictingRowIsInNoPictureAndMakesNone(t *testing.T) {
	n := inSession(at(1, addressA, true))
	next(t, n)
	n.SetRows([]row.Row{at(1, addressA, true), at(2, addressB, false)})
	if work := next(t, n); len(work.Items) != 0 {
		t.Errorf("a conflict: work %+v", work)
	}
	n.SetRows([]row.Row{at(1, addressA, true)})
	n.SetRows([]row.Row{at(1, addressA, true), {ID: 3, Node: row.Text("node"), MAC: row.Text("x")}})
	next(t, n)
	n.SetRows([]row.Row{at(1, addressA, true), {ID: 4, Node: row.Text("node"), MAC: row.Text("y")}})
	if work, due := n.Next(); due {
		t.Errorf("a refused row makes work %+v", work)
	}
	if n.Settled() {
		t.Error("a node with a refused row is settled")
	}
}

// TestEveryCommitIsOfTheLatestRead plays a table, a node and a database against each other at random, and holds every row that
// would be committed against the rule: proved in this session, of its present content, at a generation that was made after
// the row was last read as pending. The model keeps its own account of when that was. A commit lands as the store does it: where the
// row still is what was read, and the node confirms it.
func TestEveryCommitIsOfTheLatestRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := &inventory.Node{}
		table := map[int64]row.Row{}
		readAt := map[int64]uint64{} // the session's newest generation when the row was last read as something new
		read := map[int64]row.Row{}
		session, generation, sent := false, uint64(0), []inventory.WorkSet{}
		var flying []row.Row
		address := rapid.SampledFrom([]string{addressA, addressB})
		id := rapid.Int64Range(1, 3)

		look := func() {
			rows := make([]row.Row, 0, len(table))
			for id := int64(1); id <= 3; id++ {
				if r, found := table[id]; found {
					rows = append(rows, r)
				}
			}
			for _, r := range rows {
				if read[r.ID] != r {
					readAt[r.ID] = generation
				}
				read[r.ID] = r
			}
			for id := range read {
				if _, found := table[id]; !found {
					delete(read, id)
				}
			}
			n.SetRows(rows)
		}
		advance := func() {
			if work, due := n.Next(); due {
				generation++
				if work.Generation != generation || !session {
					t.Fatalf("generation %d after %d, session %v", work.Generation, generation-1, session)
				}
				sent = append(sent, work)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"write": func(t *rapid.T) {
				r := at(id.Draw(t, "id"), address.Draw(t, "address"), false)
				r.MAC = row.Text(fmt.Sprintf("02:00:5e:00:53:%02x", r.ID%2))
				r.UpdatedAt = row.Text(rapid.SampledFrom([]string{"1", "2"}).Draw(t, "second"))
				table[r.ID] = r
			},
			"delete": func(t *rapid.T) { delete(table, id.Draw(t, "id")) },
			"read":   func(*rapid.T) { look(); advance() },
			"open": func(*rapid.T) {
				n.Open()
				session, generation, sent = true, 0, nil
				for id := range readAt {
					readAt[id] = 0
				}
			},
			"close": func(*rapid.T) { n.Close(); session, generation, sent = false, 0, nil },
			"report": func(t *rapid.T) {
				if !session {
					t.Skip("no session")
				}
				var proofs []inventory.Proof
				if len(sent) > 0 {
					work := rapid.SampledFrom(sent).Draw(t, "work")
					for _, item := range work.Items {
						proofs = append(proofs, inventory.Proof{Key: item.Key, Revision: item.Revision, Generation: work.Generation})
					}
				}
				n.Report(inventory.Report{Proofs: proofs})
				for _, r := range n.Decided(100) {
					now, found := read[r.ID]
					covered := slices.ContainsFunc(proofs, func(p inventory.Proof) bool { return p.Generation > readAt[r.ID] })
					if !found || now != r || r.Committed || !covered {
						t.Fatalf("row %+v would be committed; last read %+v at generation %d, proofs %+v", r, now, readAt[r.ID], proofs)
					}
					flying = append(flying, r)
				}
				advance()
			},
			"land": func(t *rapid.T) {
				if len(flying) == 0 {
					t.Skip("nothing under way")
				}
				r := flying[0]
				flying = flying[1:]
				confirmed := n.Confirm(r)
				same := confirmed && table[r.ID] == r
				n.Settle(r, same)
				switch now := r; {
				case same:
					now.Committed = true
					table[r.ID], read[r.ID] = now, now
				case confirmed:
					delete(read, r.ID) // It must be read again.
				}
			},
		})
		// Left alone, everything that can be done gets done.
		if !session {
			n.Open()
			session, generation, sent = true, 0, nil
			for id := range readAt {
				readAt[id] = 0
			}
		}
		for range 3 {
			for _, r := range flying {
				same := table[r.ID] == r && n.Confirm(r)
				n.Settle(r, same)
				if same {
					r.Committed = true
					table[r.ID] = r
				}
			}
			flying = nil
			look()
			n.Report(inventory.Report{})
			advance()
			if len(sent) > 0 {
				work := sent[len(sent)-1]
				var proofs []inventory.Proof
				for _, item := range work.Items {
					proofs = append(proofs, inventory.Proof{Key: item.Key, Revision: item.Revision, Generation: work.Generation})
				}
				n.Report(inventory.Report{Proofs: proofs})
				flying = n.Decided(100)
			}
		}
		look()
		for i, verdict := range n.Verdicts() {
			if verdict.Outcome == inventory.Accepted && !n.Rows()[i].Committed {
				t.Fatalf("row %+v is never committed", n.Rows()[i])
			}
		}
	})
}
