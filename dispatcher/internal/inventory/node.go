package inventory

import (
	"slices"

	"multinic.dev/dispatcher/internal/row"
)

// Node is what is known of one node: its rows, the picture that its session was sent, and what it proved. The zero Node has
// no rows and no session. Not safe for concurrent use.
//
// The rule that it keeps: a row is committed only when its node says that it verified the row's present revision at a
// generation that was made after the row was read as pending. A row that comes back from B to the A that it was before is
// read as pending anew, and what was proved of the first A says nothing about it.
type Node struct {
	rows     []row.Row // ordered by id, as the store hands them over
	verdicts []Verdict
	items    []Item
	// read says that rows were handed over; before that nothing is known, which is not the same as no rows.
	read bool

	// pending are the rows that wait to be committed, by id: accepted ones that were not 1 when they were read.
	pending map[int64]*pending

	// open says that there is a session, reported that it has sent its first report.
	open, reported bool
	// generation is that of the newest WorkSet of the session; 0: none yet.
	generation uint64
	// due says that a WorkSet must be made.
	due bool
	// proofs are what the session's newest report proves, by key.
	proofs map[Key]Proof
}

// pending is one row that waits to be committed.
type pending struct {
	row row.Row
	key Key
	// revision is that of the item that the row is part of.
	revision string
	// since is the first generation of the session that was made after the row was read as pending; 0: none yet.
	since uint64
	// committing says that the row was handed out by Proved and what became of it is not known yet, whatever happens to the
	// session meanwhile.
	committing bool
}

// SetRows replaces the rows with what was read just now; the receiver keeps the slice.
func (n *Node) SetRows(rows []row.Row) {
	items, verdicts := Judge(rows)
	// Ids alone are no content: the same item under new ids makes no picture. Its new rows are pending, which does.
	if !n.read || !slices.EqualFunc(n.items, items, func(a, b Item) bool { return a.Key == b.Key && a.Revision == b.Revision }) {
		n.due = true
	}
	n.rows, n.items, n.verdicts, n.read = rows, items, verdicts, true

	now := make(map[int64]*pending)
	for _, wanted := range wanting(rows, items) {
		before, found := n.pending[wanted.row.ID]
		if found && before.row == wanted.row && before.revision == wanted.revision {
			now[wanted.row.ID] = before

			continue
		}
		now[wanted.row.ID] = wanted
		n.due = true
	}
	n.pending = now
}

// wanting are the rows that are part of an item and not committed.
func wanting(rows []row.Row, items []Item) []*pending {
	byID := make(map[int64]row.Row, len(rows))
	for _, r := range rows {
		byID[r.ID] = r
	}
	var wanting []*pending
	for _, item := range items {
		for _, id := range item.Rows {
			if r := byID[id]; !r.Committed {
				wanting = append(wanting, &pending{row: r, key: item.Key, revision: item.Revision})
			}
		}
	}

	return wanting
}

// Open begins a session, and ends the one before it if there is one: generations count anew, and nothing that was proved in
// another session counts in this one.
func (n *Node) Open() {
	n.Close()
	n.open = true
}

// Close ends the session.
func (n *Node) Close() {
	n.open, n.reported, n.generation, n.proofs, n.due = false, false, 0, nil, true
	for _, one := range n.pending {
		one.since = 0
	}
}

// Report takes over what the session's newest report proves, of each key once. A proof under a generation that was not made yet
// is dropped, not kept: what was made later would come to be proved by what was said before it.
func (n *Node) Report(proofs []Proof) {
	n.reported, n.proofs = true, make(map[Key]Proof, len(proofs))
	for _, proof := range proofs {
		if proof.Generation <= n.generation {
			n.proofs[proof.Key] = proof
		}
	}
}

// Next returns the WorkSet that must be sent now, and whether there is one. There is none before the rows were read and the
// session has reported once.
func (n *Node) Next() (WorkSet, bool) {
	if !n.due || !n.open || !n.reported || !n.read {
		return WorkSet{}, false
	}
	n.due = false
	n.generation++
	for _, one := range n.pending {
		if one.since == 0 {
			one.since = n.generation
		}
	}

	return WorkSet{Generation: n.generation, Items: n.items}, true
}

// Generation is that of the session's newest WorkSet; 0: none yet.
func (n *Node) Generation() uint64 { return n.generation }

// Proved returns rows that may be committed now, at most so many, ordered by id, as they were read. Each is returned once:
// Settle says what became of it.
func (n *Node) Proved(most int) []row.Row {
	var proved []row.Row
	for _, r := range n.rows {
		if len(proved) == most {
			break
		}
		if one := n.pending[r.ID]; one != nil && !one.committing && n.proves(one) {
			one.committing = true
			proved = append(proved, one.row)
		}
	}

	return proved
}

// proves says whether the session's newest report proves what a row asks for, at a generation that was made after the row
// was read as pending.
func (n *Node) proves(one *pending) bool {
	proof, found := n.proofs[one.key]

	return found && proof.Revision == one.revision && one.since != 0 && proof.Generation >= one.since
}

// Confirm says of a row that Proved returned whether it may be committed still, now that it is about to be: that it was not
// read as something else since, and that the node has not taken its word back. One that may not is not being committed any
// more; it waits for another proof.
func (n *Node) Confirm(r row.Row) bool {
	one := n.pending[r.ID]
	if one == nil || one.row != r || !one.committing {
		return false
	}
	one.committing = n.proves(one)

	return one.committing
}

// Settle says what became of a row that Proved returned. A committed row is committed here as well. One that was not is
// forgotten as pending, so that it must be read again, and then proved again: what was proved of it got too old, or it
// changed.
func (n *Node) Settle(r row.Row, committed bool) {
	one, found := n.pending[r.ID]
	if !found || one.row != r || !one.committing {
		return // It was read anew meanwhile, and differently, or was not confirmed.
	}
	delete(n.pending, r.ID)
	if !committed {
		return
	}
	for i := range n.rows {
		if n.rows[i] == r {
			n.rows[i].Committed = true
		}
	}
}

// Pending is how many rows wait to be committed.
func (n *Node) Pending() int { return len(n.pending) }

// Rows are the node's rows, ordered by id. They are not to be changed.
func (n *Node) Rows() []row.Row { return n.rows }

// Verdicts are what became of Rows, in the same order. They are not to be changed.
func (n *Node) Verdicts() []Verdict { return n.verdicts }

// Items are what the node should have, ordered by key. They are not to be changed.
func (n *Node) Items() []Item { return n.items }

// Settled says whether every row is committed.
func (n *Node) Settled() bool {
	return !slices.ContainsFunc(n.rows, func(r row.Row) bool { return !r.Committed })
}
