package transaction

import (
	"errors"
	"fmt"
	"strings"

	"multinic.dev/executor/internal/plan"
)

// Kind says what kind of thing went wrong.
type Kind int

// The kinds.
const (
	// Refused: the kernel refused a change.
	Refused Kind = iota + 1
	// Unverified: the changes were made, and the kernel does not show what they should lead to, or cannot be read.
	Unverified
	// InUse: another host on the wire has the address.
	InUse
	// Persist: the record or the journal could not be written.
	Persist
	// Lasting: what the next boot makes of the card could not be made what it should be, or not be proved to be.
	Lasting
	// Guarded: the node's own network is not what it was.
	Guarded
	// Unfinished: what an earlier transaction has left could not be put back yet, and nothing new is begun before that.
	Unfinished
	// Blocked: something that is not multinic's is in the way; Obstacle says what.
	Blocked
)

// ErrPathChanged is among what a Guard's error wraps when the node reaches somebody by another way than before, or no longer.
var ErrPathChanged = errors.New("the node's way has changed")

// Failure is why something was not done, or was put back.
type Failure struct {
	Kind Kind
	// Err says it; nil where Left does.
	Err error
	// Left are the changes that are still to be made.
	Left []plan.Change
	// Obstacle is what is in the way; None but for Blocked.
	Obstacle plan.Obstacle
}

// blocked says that an obstacle is in the way of a card.
func blocked(obstacle plan.Obstacle, message string) Failure {
	return Failure{Kind: Blocked, Err: errors.New(message), Obstacle: obstacle}
}

// Cause is the failure as an error.
func (f Failure) Cause() error {
	if f.Err != nil {
		return f.Err
	}
	return errors.New(Lacking(f.Left))
}

// Lacking says that the kernel is not what it should be, by what would make it so.
func Lacking(changes []plan.Change) string {
	const most = 5 // Whoever reads it needs the kind of the trouble, not all of it.
	var words []string
	for _, change := range changes[:min(len(changes), most)] {
		words = append(words, change.String())
	}
	if more := len(changes) - most; more > 0 {
		words = append(words, fmt.Sprintf("%d more", more))
	}
	return "the kernel still lacks: " + strings.Join(words, "; ")
}

// Failures are what failed in a transaction, by the interface that is to blame. All that was changed of a card with a failure
// was put back.
type Failures map[plan.Key]Failure

// wholeCard is the VLAN id under which a failure is a card's, and not one of its interfaces'.
const wholeCard = -1

// Of is the failure of an interface, or of its card as a whole.
func (f Failures) Of(key plan.Key) (Failure, bool) {
	failure, found := f[key]
	if !found {
		failure, found = f[plan.Key{MAC: key.MAC, VLAN: wholeCard}]
	}
	return failure, found
}

// SharedKey is the key of what belongs to no card.
func SharedKey() plan.Key { return plan.Key{} }
