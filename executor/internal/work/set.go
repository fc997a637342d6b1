// Package work defines the two pictures as an executor holds them: what its node should have, and what it has.
package work

import (
	"cmp"

	"multinic.dev/executor/internal/plan"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

// Generation names a WorkSet: the stream that it came on, and its number there. The two are never apart, since the
// number alone means something else on every stream. The zero Generation is no WorkSet's.
type Generation struct {
	// Stream counts the streams of this process from 1.
	Stream uint64
	// Number is the dispatcher's.
	Number uint64
}

// Set is all that a node should have. Whoever receives one must not change it.
type Set struct {
	Generation Generation
	// Items are ordered by key; no two have the same.
	Items []Item
	// Removals are what the node should give up, ordered; none is an item's.
	Removals []plan.Key
	// Retry is the newest number of a generation of this stream under which what failed is to be tried again at once; 0: none.
	Retry uint64
}

// Item is one interface that a node should have.
type Item struct {
	Key plan.Key
	// Rows are the ids of the rows that ask for it; for logs alone.
	Rows []int64
	// Revision is the opaque name of its content.
	Revision string
	Spec     plan.Spec
	// Problem says why the item cannot be carried out, whatever the node is like. Spec is then meaningless.
	Problem Problem
}

// CompareKeys orders keys as the protocol does: by MAC, then by VLAN.
func CompareKeys(a, b plan.Key) int {
	return cmp.Or(cmp.Compare(a.MAC, b.MAC), cmp.Compare(a.VLAN, b.VLAN))
}

// Problem says why an interface is not READY. The zero Problem says that it is.
type Problem struct {
	// State is any but READY.
	State  multinicv1.State
	Reason multinicv1.Reason
	// Message is for people: what happened, to what, what to do about it.
	Message string
}
