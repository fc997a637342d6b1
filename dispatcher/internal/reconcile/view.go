package reconcile

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"multinic.dev/dispatcher/internal/inventory"
	"multinic.dev/dispatcher/internal/wire"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

// Stats counts what happened since the dispatcher started, and what there is now.
type Stats struct {
	// Nodes and Sessions are how many there are now; NoNode is none.
	Nodes, Sessions int
	// CommittedRows stand at 1. Of the others, RefusedRows are not part of their node's work, and PendingRows are.
	CommittedRows, PendingRows, RefusedRows int
	// Polls succeeded, FailedPolls did not.
	Polls, FailedPolls uint64
	// WorkSets were made for sessions, Reports were taken over from them, ReplacedSessions made way for a second one.
	WorkSets, Reports, ReplacedSessions uint64
	// Commits counts rows that were set to 1, Revocations those that were taken back; OvertakenRows had changed, or it took too
	// long; FailedCommits counts batches that the database did not take.
	Commits, Revocations, OvertakenRows, FailedCommits uint64
	// Guarded is how many removals and changes the guard holds now; Removals and Changes of working interfaces were let through.
	Guarded           int
	Removals, Changes uint64
}

// Stats returns the numbers; ErrStopped once Run has returned.
func (r *Reconciler) Stats() (stats Stats, err error) {
	err = ErrStopped
	r.ask(func() {
		stats, err = r.stats, nil
		stats.Guarded = r.guard.Total()
		for name, known := range r.nodes {
			if name != NoNode {
				stats.Nodes++
			}
			if known.session != nil {
				stats.Sessions++
			}
			rows := known.Rows()
			for i, verdict := range known.Verdicts() {
				switch {
				case rows[i].Committed:
					stats.CommittedRows++
				case verdict.Outcome == inventory.Accepted:
					stats.PendingRows++
				default:
					stats.RefusedRows++
				}
			}
		}
	})

	return stats, err
}

// Health says how it stands with the table; ErrStopped once Run has returned.
func (r *Reconciler) Health() (health Health, err error) {
	err = ErrStopped
	r.ask(func() { health, err = r.health, nil })

	return health, err
}

// Node returns one node, or nil when neither the table nor a session knows it, and how it stands with the table. The caller
// owns the message, except for what it shares with reports and items: nothing of it may be changed.
func (r *Reconciler) Node(name string) (node *multinicv1.Node, health Health, err error) {
	err = ErrStopped
	r.ask(func() {
		health, err = r.health, nil
		known, found := r.nodes[name]
		if owner := r.ownerOf(name); !found && owner != nil {
			known, found = owner, true
		}
		if found {
			node = r.view(known)
		}
	})

	return node, health, err
}

// Page is a part of the fleet.
type Page struct {
	// Nodes are ordered by name. What Node says of the message is true of each.
	Nodes []*multinicv1.Node
	// Next is the name after which the next page begins; empty: there is none.
	Next string
	// Health is how it stands with the table.
	Health Health
}

// maxPage is how large a page may become, in bytes: a client takes messages of up to 4 MiB where it is not told otherwise.
const maxPage = 3 << 20

// Nodes returns nodes that match the filter and whose names come after a name, ordered by name: at most so many, and fewer
// where the page would become too large.
func (r *Reconciler) Nodes(filter *multinicv1.NodeFilter, after string, most int) (page Page, err error) {
	err = ErrStopped
	r.ask(func() {
		page.Health, err = r.health, nil
		size, last := 0, ""
		for _, name := range slices.Sorted(maps.Keys(r.nodes)) {
			known := r.nodes[name]
			if name <= after || !known.matches(filter) {
				continue
			}
			view := r.view(known)
			size += proto.Size(view)
			if len(page.Nodes) == most || len(page.Nodes) > 0 && size > maxPage {
				page.Next = last

				return
			}
			page.Nodes = append(page.Nodes, view)
			last = name
		}
	})

	return page, err
}

func (n *node) matches(filter *multinicv1.NodeFilter) bool {
	return strings.HasPrefix(n.name, filter.GetNamePrefix()) &&
		(filter == nil || filter.Connected == nil || filter.GetConnected() == (n.session != nil)) &&
		(filter == nil || filter.Settled == nil || filter.GetSettled() == n.Settled())
}

// mostShown is how many rows are shown of a node, those with the lowest ids: more than any node has work for, but a table may have
// any number that belong to none.
const mostShown = 1000

// view is the node as operators see it.
func (r *Reconciler) view(n *node) *multinicv1.Node {
	// A table may hold names that are no text; they are shown as far as they are.
	view := &multinicv1.Node{Name: printable(n.name), Facts: n.report.GetFacts(), Interfaces: r.interfaces(n)}
	if n.session != nil {
		view.Session = &multinicv1.NodeSession{
			ConnectedAt: timestamppb.New(n.session.opened), Peer: n.session.peer, Generation: n.Generation(),
		}
	}
	rows := n.Rows()
	for i, verdict := range n.Verdicts() {
		if i == mostShown {
			break
		}
		row := &multinicv1.NodeRow{
			Id: verdict.Row, NetplanSuccess: rows[i].Committed, Verdict: outcomes(verdict.Outcome), Message: verdict.Message,
		}
		if why := n.displaced(verdict.Key); why != "" && verdict.Outcome == inventory.Accepted {
			row.Verdict, row.Message = multinicv1.RowVerdict_ROW_VERDICT_REFUSED, why
		}
		if verdict.Key != (inventory.Key{}) {
			row.Key = wire.FromKey(verdict.Key)
		}
		view.Rows = append(view.Rows, row)
	}

	return view
}

// printable is a name as far as it is text.
func printable(name string) string { return strings.ToValidUTF8(name, "\uFFFD") }

func outcomes(outcome inventory.Outcome) multinicv1.RowVerdict {
	switch outcome {
	case inventory.Accepted:
		return multinicv1.RowVerdict_ROW_VERDICT_ACCEPTED
	case inventory.Refused:
		return multinicv1.RowVerdict_ROW_VERDICT_REFUSED
	case inventory.Conflict:
		return multinicv1.RowVerdict_ROW_VERDICT_CONFLICT
	case inventory.Ambiguous:
		return multinicv1.RowVerdict_ROW_VERDICT_AMBIGUOUS
	}

	return multinicv1.RowVerdict_ROW_VERDICT_UNSPECIFIED
}

// interfaces sets side by side what the node should have and what it says, by key.
func (r *Reconciler) interfaces(n *node) []*multinicv1.NodeInterface {
	sides := make(map[inventory.Key]*multinicv1.NodeInterface)
	side := func(key inventory.Key) *multinicv1.NodeInterface {
		if sides[key] == nil {
			sides[key] = &multinicv1.NodeInterface{Key: wire.FromKey(key)}
		}

		return sides[key]
	}
	for _, item := range n.Items() {
		side(item.Key).Desired = wire.FromItem(item)
	}
	for _, result := range n.report.GetResults() {
		side(wire.ToKey(result.GetKey())).Result = result
	}
	for key, one := range sides {
		one.Hold = r.hold(n, key)
	}

	return slices.SortedFunc(maps.Values(sides), func(a, b *multinicv1.NodeInterface) int {
		return cmp.Or(cmp.Compare(a.GetKey().GetMacAddress(), b.GetKey().GetMacAddress()), cmp.Compare(a.GetKey().GetVlanId(), b.GetKey().GetVlanId()))
	})
}
