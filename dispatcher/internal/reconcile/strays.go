package reconcile

import (
	"fmt"
	"strings"

	"multinic.dev/dispatcher/internal/inventory"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

// A stray is a row under the name of a node that has never connected to this dispatcher, for an interface that another node has and
// that none of that one's rows asks for: most likely the name is wrong. So the interface is kept while its link is there, and the row
// is said to be true no more.

// speak takes note of the keys that a node's rows speak of, as long as it has never connected.
func (r *Reconciler) speak(n *node) {
	r.hush(n)
	if n.isKnown {
		return
	}
	n.spoken, _ = inventory.Keys(n.Rows())
	for key := range n.spoken {
		put(r.speakers, key, n)
	}
}

// hush forgets the keys that a node's rows speak of.
func (r *Reconciler) hush(n *node) {
	for key := range n.spoken {
		drop(r.speakers, key, n)
	}
	n.spoken = nil
}

// lookForStrays finds the strays of what a node has.
func (r *Reconciler) lookForStrays(n *node) {
	found := map[inventory.Key]*node{}
	keys := map[inventory.Key]bool{}
	for key := range n.Taken() {
		if !n.IsPresent(key) || n.Asks(key) {
			continue
		}
		for other := range r.speakers[key] {
			if other != n && (found[key] == nil || other.name < found[key].name) {
				found[key], keys[key] = other, true
			}
		}
	}
	for key, other := range n.strays {
		if found[key] != other {
			other.Displace(key, "")
		}
	}
	n.strays = found
	n.Keep(keys)
	// A node that the table names may only not have come yet.
	if !r.isSettled() {
		return
	}
	for key, other := range found {
		other.Displace(key, n.name)
		if other.Undecided() {
			r.provable[other.name] = other
		}
	}
}

// stray says of an interface that it is kept for a stray's sake; nil: it is not.
func (n *node) stray(key inventory.Key) *multinicv1.Hold {
	other := n.strays[key]
	if other == nil {
		return nil
	}
	for _, verdict := range other.Verdicts() {
		if verdict.Key == key {
			return &multinicv1.Hold{
				Reason: multinicv1.HoldReason_HOLD_REASON_STRAY_ROW,
				Message: fmt.Sprintf("no row of the node asks for the interface, but row %d does, which is under %s, of which no executor has connected: "+
					"the interface is kept while its link is here; correct that row's attached_node_name, or delete it", verdict.Row, quoted(other.name)),
			}
		}
	}

	return nil
}

// displaced says why a row that could be its node's work is not true: another node has the NIC; empty: none has.
func (n *node) displaced(key inventory.Key) string {
	holder := n.DisplacedTo(key)
	if holder == "" {
		return ""
	}
	hint := "correct it, or start the node's executor"
	if strings.TrimSpace(n.name) == holder {
		hint = "the two differ by blanks alone"
	}

	return fmt.Sprintf("attached_node_name is %s, of which no executor has connected, and the node %s has the NIC: %s", quoted(n.name), quoted(holder), hint)
}

func quoted(name string) string { return fmt.Sprintf("%.64q", name) }
