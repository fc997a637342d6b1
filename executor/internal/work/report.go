package work

import (
	"time"

	"multinic.dev/executor/internal/plan"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

// Report is all that a node has. Whoever receives one must not change it.
type Report struct {
	// Generation is that of the set under which the kernel was last read; zero: there was none yet.
	Generation Generation
	// Results are ordered by key; no two have the same.
	Results []Result
	// Activation is what the last changes were made live by, such as "kernel".
	Activation string
}

// Result is what became of one interface.
type Result struct {
	Key plan.Key
	// Revision is that of the item of the report's set; empty: the set does not name the interface.
	Revision string
	// Problem is zero when the kernel was found to be what the item asks for or, without an item, what was last proved.
	Problem Problem
	// Name is the interface's, or the one that it is meant to get; empty while it has none.
	Name string
	// Observed is what the kernel has; nil: no link has the MAC, or the kernel could not be read.
	Observed *plan.Observed
	// Attempts is how often the item was tried in a row without success.
	Attempts uint32
	// NextRetry is when it is tried again; zero: not by itself.
	NextRetry time.Time
	// Taken says that the interface is multinic's on disk.
	Taken bool
	// Proved is what it was last proved to be; nil: nothing was.
	Proved *plan.Spec
	// Planned are the changes that would be made, in the words of `ip`; only where the executor observes.
	Planned []string
}

// Ready says whether the kernel is what it should be.
func (r Result) Ready() bool { return r.Problem == Problem{} }

// State is the result's state in the protocol.
func (r Result) State() multinicv1.State {
	if r.Ready() {
		return multinicv1.State_STATE_READY
	}

	return r.Problem.State
}
