// Package inventory decides what each node should have, and which rows may be committed: rows and proofs in, work and
// verdicts out.
//
// It is pure: no I/O, no clock, no goroutine. Whoever owns a Node calls its methods one at a time.
package inventory

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
)

// MaxItems is how many interfaces a node may have in one picture. A picture is sent whole at every change, and no node has
// that many NICs and VLANs.
const MaxItems = 64

// Key identifies one interface of one node.
type Key struct {
	// MAC is the NIC's permanent address, six lower-case octets with colons.
	MAC string
	// VLAN is the 802.1Q id, 1 to 4094; 0 is the untagged interface.
	VLAN int
}

// Compare orders keys by MAC, then by VLAN.
func (k Key) Compare(other Key) int {
	if order := strings.Compare(k.MAC, other.MAC); order != 0 {
		return order
	}

	return k.VLAN - other.VLAN
}

// Spec is what one interface should be.
type Spec struct {
	// Address is the IPv4 address with its prefix length. Invalid: none; then there is no gateway and no DNS server either.
	Address netip.Prefix
	// Gateway is the IPv4 next hop. Invalid: none.
	Gateway netip.Addr
	// DNS are the addresses of DNS servers, in the row's order.
	DNS []netip.Addr
	// MTU is in bytes; 0: not asked for.
	MTU int
}

// Item is one interface that a node should have.
type Item struct {
	Key Key
	// Rows are the ids of the rows that ask for it, ascending; at least one.
	Rows []int64
	// Revision names the content: equal for equal keys and specs, on any dispatcher of the same version.
	Revision string
	Spec     Spec
}

// revision hashes what an item says. Sixteen hexadecimal digits are enough: a clash would have to happen among the contents
// that one interface ever had.
func revision(key Key, spec Spec) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %s %s %v %d", key.MAC, key.VLAN, spec.Address, spec.Gateway, spec.DNS, spec.MTU))

	return hex.EncodeToString(sum[:8])
}

// Outcome says whether a row became work.
type Outcome int

// The outcomes.
const (
	// Accepted: the row is part of its node's work.
	Accepted Outcome = iota
	// Refused: a column holds what cannot be used.
	Refused
	// Conflict: another row asks for something else under the same key.
	Conflict
	// Ambiguous: the row's node name fits more than one node.
	Ambiguous
)

// Verdict is what became of one row.
type Verdict struct {
	// Row is the row's id.
	Row     int64
	Outcome Outcome
	// Message says what is wrong and what to do, in one line; empty when accepted.
	Message string
	// Key is what the row asks for; the zero Key when it could not be read.
	Key Key
}

// WorkSet is the whole picture of what a node should have.
type WorkSet struct {
	// Generation counts from 1 in each session.
	Generation uint64
	// Items are ordered by key. They are not to be changed.
	Items []Item
	// Removals are the interfaces that the node should give up, ordered; none is an item's.
	Removals []Key
	// Retry is the newest generation of the session that was made because an operator asked for another try; 0: none was.
	Retry uint64
}

// Proof is a node's word that it read its kernel and found it to be what a revision asks for.
type Proof struct {
	Key      Key
	Revision string
	// Generation is that of the newest WorkSet of the present session under which the kernel was read; 0: none.
	Generation uint64
}

// Disproof is a node's settled word that an interface is not what a revision asks for.
type Disproof struct {
	Key      Key
	Revision string
}

// Standing is what an interface of a node was last proved to be. Comparable with ==.
type Standing struct {
	// Address is the IPv4 address with its prefix length. Invalid: none.
	Address netip.Prefix
	// Gateway is the IPv4 next hop. Invalid: none.
	Gateway netip.Addr
	// MTU is in bytes; 0: none was asked for.
	MTU int
}

// Report is all that a node says of itself, as far as anything is decided by it.
type Report struct {
	// Generation is that of the newest WorkSet of the present session that it takes into account; 0: none.
	Generation uint64
	Proofs     []Proof
	Disproofs  []Disproof
	// Taken are the interfaces that the node has, with what they were last proved to be; nil: nothing was.
	Taken map[Key]*Standing
	// Present are those of Taken whose link is there.
	Present map[Key]bool
	// Nameless is for how many NICs that the node should have no name is left.
	Nameless int
}
