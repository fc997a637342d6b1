package inventory

import (
	"fmt"
	"net/netip"
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
	holds

	rows     []row.Row // ordered by id, as the store hands them over
	verdicts []Verdict
	items    []Item
	// read says that rows were handed over; before that nothing is known, which is not the same as no rows.
	read bool

	// pending are the rows that wait to be committed, by id: accepted ones that were not 1 when they were read.
	pending map[int64]*pending
	// revoking are the rows that were handed out to become 0, by id, and what became of which is not known yet.
	revoking map[int64]row.Row

	// open says that there is a session, reported that it has sent its first report.
	open, reported bool
	// generation is that of the newest WorkSet of the session; 0: none yet.
	generation uint64
	// due says that a WorkSet must be made.
	due bool
	// retry is the newest generation that an operator asked for, and retrying that one is to be made.
	retry    uint64
	retrying bool
	// proofs are what the session's newest report proves, by key, disproofs what it settles otherwise, and reportedAt is the
	// generation that it takes into account.
	proofs     map[Key]Proof
	disproofs  map[Key]Disproof
	reportedAt uint64
	// sent is what the session's newest WorkSet has, by key.
	sent map[Key]sentItem
}

// sentItem is an item of the newest WorkSet.
type sentItem struct {
	revision string
	// since is the first generation of the unbroken run of WorkSets that have the key with this revision.
	since uint64
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
	n.setRows(rows, items, verdicts)
}

// SetAmbiguous replaces the rows with such as cannot be the node's, or anybody's, work, and says why.
func (n *Node) SetAmbiguous(rows []row.Row, message string) {
	_, verdicts := Judge(rows)
	for i := range verdicts {
		verdicts[i].Outcome, verdicts[i].Message = Ambiguous, message
	}
	n.setRows(rows, nil, verdicts)
}

// SetNameless replaces the rows with such as cannot be anybody's work, since their attached_node_name is no node's.
func (n *Node) SetNameless(rows []row.Row) {
	_, verdicts := Judge(rows)
	byID := make(map[int64]string, len(rows))
	for _, r := range rows {
		problem := "write the node's name"
		if len(r.Node.Text) > row.MaxName {
			problem = fmt.Sprintf("a node's name has up to %d bytes: write the node's name", row.MaxName)
		}
		byID[r.ID] = (&columnError{"attached_node_name", text(r.Node), problem}).Error()
	}
	for i := range verdicts {
		verdicts[i].Outcome, verdicts[i].Message = Refused, byID[verdicts[i].Row]
	}
	n.setRows(rows, nil, verdicts)
}

func (n *Node) setRows(rows []row.Row, items []Item, verdicts []Verdict) {
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
	n.disproofs, n.reportedAt, n.sent, n.retry, n.retrying = nil, 0, nil, 0, false
	n.removals, n.sentRemovals = nil, nil
	for _, one := range n.pending {
		one.since = 0
	}
}

// Report takes over the session's newest report, of each key once; the receiver keeps it. What is said under a generation that was
// not made yet is dropped, not kept: what was made later would come to be settled by what was said before it.
func (n *Node) Report(report Report) {
	n.reported, n.proofs, n.disproofs, n.reportedAt = true, make(map[Key]Proof, len(report.Proofs)), make(map[Key]Disproof), 0
	for _, proof := range report.Proofs {
		if proof.Generation <= n.generation {
			n.proofs[proof.Key] = proof
		}
	}
	n.taken, n.present, n.nameless = report.Taken, report.Present, report.Nameless
	if report.Generation > n.generation {
		return
	}
	n.reportedAt = report.Generation
	for _, disproof := range report.Disproofs {
		n.disproofs[disproof.Key] = disproof
	}
}

// Retry has the node try again what failed, under the next generation, and says whether it has a session for that.
func (n *Node) Retry() bool {
	n.retrying, n.due = n.open, n.due || n.open

	return n.open
}

// Next returns the WorkSet that must be sent now, and whether there is one. There is none before the rows were read and the
// session has reported once.
func (n *Node) Next() (WorkSet, bool) {
	if !n.open || !n.reported || !n.read || !n.due && !n.hasChanged() {
		return WorkSet{}, false
	}
	n.due = false
	n.generation++
	work := WorkSet{Generation: n.generation, Removals: n.removals}
	sent := make(map[Key]sentItem, len(n.items))
	for _, item := range n.items {
		if n.isHeld(item.Key) {
			continue
		}
		since := n.generation
		if before, found := n.sent[item.Key]; found && before.revision == item.Revision {
			since = before.since
		}
		sent[item.Key] = sentItem{revision: item.Revision, since: since}
		work.Items = append(work.Items, item)
	}
	n.sent, n.sentRemovals = sent, n.removals
	for _, one := range n.pending {
		if _, isSent := sent[one.key]; isSent && one.since == 0 {
			one.since = n.generation
		}
	}
	if n.retrying {
		n.retry, n.retrying = n.generation, false
	}
	work.Retry = n.retry

	return work, true
}

// hasChanged says whether what the node may be told is not what it was told: an item that was held is not any more, or is now, or
// something is to be removed. That a removal is done is no news to the node.
func (n *Node) hasChanged() bool {
	sent := 0
	for _, item := range n.items {
		if n.isHeld(item.Key) {
			continue
		}
		if before, found := n.sent[item.Key]; !found || before.revision != item.Revision {
			return true
		}
		sent++
	}
	if sent != len(n.sent) {
		return true
	}

	return slices.ContainsFunc(n.removals, func(key Key) bool { return !slices.Contains(n.sentRemovals, key) })
}

// Generation is that of the session's newest WorkSet; 0: none yet.
func (n *Node) Generation() uint64 { return n.generation }

// Decided returns rows whose flags may be turned over now, at most so many, ordered by id, as they were read: those that wait to
// become 1 and are proved, and those that are 1 and are disproved. Each is returned once: Settle says what became of it.
func (n *Node) Decided(most int) []row.Row {
	var decided []row.Row
	for i, r := range n.rows {
		if len(decided) == most {
			break
		}
		switch one := n.pending[r.ID]; {
		case r.Committed && n.disproves(i):
			if n.revoking[r.ID] == r {
				continue
			}
			if n.revoking == nil {
				n.revoking = map[int64]row.Row{}
			}
			n.revoking[r.ID] = r
		case one != nil && !one.committing && n.proves(one):
			one.committing = true
		default:
			continue
		}
		decided = append(decided, r)
	}

	return decided
}

// disproves says whether the i-th row, which is 1, cannot stand at 1: its content is such as no node can have been proved to have,
// or the session's newest report settles what it asks for otherwise than READY, under a generation that asked for just that, or it is
// held back and the report says that the interface stands otherwise, or the node is not there and another has the NIC.
func (n *Node) disproves(i int) bool {
	switch verdict := n.verdicts[i]; verdict.Outcome {
	case Refused, Conflict:
		return true
	case Ambiguous:
		return false // Nothing is known of it.
	case Accepted:
		if n.standsOtherwise(verdict.Key) {
			return true
		}
		sent, isSent := n.sent[verdict.Key]
		disproof, found := n.disproofs[verdict.Key]

		return found && isSent && disproof.Revision == sent.revision && n.reportedAt >= sent.since && n.asksFor(verdict.Key, sent.revision)
	}

	return false
}

// standsOtherwise says whether what the rows ask for under a key is known not to be so without anybody having been told of it: it is held
// back, and the session's report says that the interface stands otherwise, or the node is not there, and another has the NIC.
func (n *Node) standsOtherwise(key Key) bool {
	return n.reported && n.isHeld(key) || n.DisplacedTo(key) != ""
}

// asksFor says whether the rows ask for a revision under a key.
func (n *Node) asksFor(key Key, revision string) bool {
	return slices.ContainsFunc(n.items, func(item Item) bool { return item.Key == key && item.Revision == revision })
}

// Undecided says whether there may be rows for Decided, now or after the next report.
func (n *Node) Undecided() bool {
	if len(n.pending) > 0 && n.open || len(n.disproofs) > 0 {
		return true
	}
	for i, r := range n.rows {
		outcome := n.verdicts[i].Outcome
		if r.Committed && (outcome == Refused || outcome == Conflict || outcome == Accepted && n.standsOtherwise(n.verdicts[i].Key)) {
			return true
		}
	}

	return false
}

// proves says whether the session's newest report proves what a row asks for, at a generation that was made after the row
// was read as pending.
func (n *Node) proves(one *pending) bool {
	proof, found := n.proofs[one.key]

	return found && proof.Revision == one.revision && one.since != 0 && proof.Generation >= one.since
}

// Confirm says of a row that Decided returned whether its flag may be turned over still, now that it is about to be: that it was
// not read as something else since, and that the node has not taken its word back. One that may not is not being committed any
// more; it waits for another word.
func (n *Node) Confirm(r row.Row) bool {
	if r.Committed {
		i := slices.Index(n.rows, r)
		confirmed := i >= 0 && n.revoking[r.ID] == r && n.disproves(i)
		if !confirmed && n.revoking[r.ID] == r {
			delete(n.revoking, r.ID)
		}

		return confirmed
	}
	one := n.pending[r.ID]
	if one == nil || one.row != r || !one.committing {
		return false
	}
	one.committing = n.proves(one)

	return one.committing
}

// Settle says what became of a row that Decided returned. A flag that was turned over is so here as well. A row that waited to
// become 1, and did not, is forgotten as pending, so that it must be read again, and then proved again: what was proved of it got
// too old, or it changed.
func (n *Node) Settle(r row.Row, committed bool) {
	if r.Committed {
		n.settleRevoked(r, committed)

		return
	}
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

func (n *Node) settleRevoked(r row.Row, done bool) {
	if n.revoking[r.ID] != r {
		return
	}
	delete(n.revoking, r.ID)
	if i := slices.Index(n.rows, r); i >= 0 && done {
		n.rows[i].Committed = false
	}
}

// Pending is how many rows wait to be committed.
func (n *Node) Pending() int { return len(n.pending) }

// HasReported says whether the session has reported.
func (n *Node) HasReported() bool { return n.reported }

// Lacks says whether the session has reported, and the interface with a key does not stand with an address there.
func (n *Node) Lacks(key Key, address netip.Addr) bool {
	standing := n.taken[key]

	return n.reported && (standing == nil || standing.Address.Addr() != address)
}

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
