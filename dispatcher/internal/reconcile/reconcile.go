// Package reconcile owns what the dispatcher knows of the fleet, and brings rows, sessions and commits together.
//
// One goroutine, that of Run, owns all of it; whoever has something to say or to ask sends it a function to run. It never
// waits for a peer, nor for the database.
package reconcile

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"multinic.dev/dispatcher/internal/inventory"
	"multinic.dev/dispatcher/internal/row"
	"multinic.dev/dispatcher/internal/store"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

// ErrStopped says that Run has returned.
var ErrStopped = errors.New("the dispatcher is shutting down")

// Table is what the reconciler asks of the store. Its methods are safe concurrently.
type Table interface {
	// Commit turns netplan_success over in those of rows that still are what they were when they were read, to 0 where they were
	// committed and to 1 where they were not, and says which. Before, while nobody can change them any more, it has them confirmed.
	Commit(ctx context.Context, rows []row.Row, confirm func(rows []row.Row) []bool) (committed []bool, err error)
	// Reread has these nodes read with the next poll, and handed over even if they are as they were. It never blocks.
	Reread(nodes ...string)
}

// Reconciler owns the fleet's state. Its methods are safe concurrently, and block only until Run has got round to them.
type Reconciler struct {
	table Table
	log   *zap.Logger
	now   func() time.Time

	do      chan func()
	stopped chan struct{} // closed when Run has returned

	// What follows belongs to Run's goroutine.

	nodes map[string]*node
	names names
	// rule is by what interfaces that no row asks for are kept, guard stands over all that disturbs, fleet is what it measures by, and
	// claims say who claims what.
	rule   inventory.Rule
	guard  *inventory.Guard
	fleet  inventory.Fleet
	claims claims
	// speakers are the nodes that have never connected and whose rows speak of a key.
	speakers map[inventory.Key]map[*node]bool
	// settled says that enough is known of the fleet to judge what would disturb it, readAt is when the table was first read whole, and
	// unheard are the nodes that it named then which have not reported yet.
	settled bool
	readAt  time.Time
	unheard map[*node]bool
	// waiting are the nodes with something that waits for its time, and wake is when they are looked at again; nil: there are none.
	waiting map[string]*node
	wake    <-chan time.Time
	// provable are the nodes that may have rows to commit.
	provable map[string]*node
	// committing says that a batch is under way; its outcome comes by committed.
	committing bool
	committed  chan batch
	// pace is how many rows go together, and rest what ends a pause after a batch that failed; nil: there is none.
	pace pace
	rest <-chan time.Time
	// draining says that no session is taken any more.
	draining bool
	health   Health
	// said is when a problem was last logged, and saidNeedsSomebody whether it was one that does not pass by itself.
	said              time.Time
	saidNeedsSomebody bool
	stats             Stats
}

// node is one node, what the table says and what its executor says.
type node struct {
	inventory.Node

	name    string
	session *Session // nil: none now
	// report is the newest one, also of a session that has ended; nil: there never was one.
	report *multinicv1.NodeReport

	// groups are the rows that are its work, by the name that they have; ambiguous is the one that is shown here and nobody's.
	groups    map[string]*group
	ambiguous *group
	// isKnown says that it has had a session.
	isKnown bool
	// claimed are the items that it is counted for in claims, and taken is how many interfaces it is counted for in fleet.
	claimed []inventory.Item
	taken   int
	// spoken are the keys that it is counted for in speakers, and strays are the nodes that have the strays of what it has.
	spoken map[inventory.Key]bool
	strays map[inventory.Key]*node
	// closed is when its session ended; zero: it has one, or never had.
	closed time.Time
}

var _ store.Follower = &Reconciler{}

// Policy is what operators decide about the fleet.
type Policy struct {
	// HoldDown is how long an interface is kept that no row asks for any more.
	HoldDown time.Duration
	// GuardShare is how large a share of the fleet may be removed or changed within a minute; 1 or more: any.
	GuardShare float64
	// Suffixes are what a node's name may have at its end in the table or on the node, and not in both.
	Suffixes []string
}

// New returns a reconciler that knows nothing yet. The log gets what happens to rows and sessions; now tells the time.
func New(table Table, policy Policy, log *zap.Logger, now func() time.Time) *Reconciler {
	return &Reconciler{
		table: table, log: log, now: now,
		do: make(chan func()), stopped: make(chan struct{}),
		nodes: make(map[string]*node), names: newNames(policy.Suffixes), rule: inventory.Rule{HoldDown: policy.HoldDown},
		guard: inventory.NewGuard(policy.GuardShare), claims: newClaims(), speakers: make(map[inventory.Key]map[*node]bool), waiting: make(map[string]*node),
		provable: make(map[string]*node), committed: make(chan batch, 1), pace: newPace(),
	}
}

// Run does the reconciler's work until ctx ends; then it commits what is proved already, for as long as flushWithin, and
// returns nil. It may be called once.
func (r *Reconciler) Run(ctx context.Context) error {
	defer close(r.stopped)
	// What is being committed when ctx ends is not given up.
	commits, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case f := <-r.do:
			f()
		case done := <-r.committed:
			r.settle(done)
		case <-r.rest:
			r.rest = nil
		case <-r.wake:
			r.proceedAll()
		}
		r.commit(commits)
	}
	defer time.AfterFunc(flushWithin, giveUp).Stop()
	r.rest = nil // One last try.
	for r.commit(commits); r.committing; r.commit(commits) {
		select {
		case f := <-r.do: // A commit under way asks for confirmation.
			f()
		case done := <-r.committed:
			r.settle(done)
		}
	}

	return nil
}

// ask has a function run by Run's goroutine, and waits for it. When Run has returned, the function is not run.
func (r *Reconciler) ask(f func()) {
	done := make(chan struct{})
	select {
	case r.do <- func() { defer close(done); f() }:
		<-done
	case <-r.stopped:
	}
}

// of returns what is known of a node, from now on if it was not before.
func (r *Reconciler) of(name string) *node {
	known, found := r.nodes[name]
	if !found {
		known = &node{name: name, groups: make(map[string]*group)}
		// A node that has no rows has none, once the whole table was read.
		if r.health.Read {
			known.SetRows(nil)
		}
		r.nodes[name] = known
	}

	return known
}

// keepPassed is how long what was let through for a node is remembered without its session: streams come and go.
const keepPassed = time.Hour

// forget drops a node of which neither the table nor a session speaks, so that names that come and go cost no memory for ever.
// One for which something was let through that is not done yet is known a while longer: that is known nowhere else.
func (r *Reconciler) forget(n *node) {
	isBack := n.HasPassed() && r.now().Sub(n.closed) < keepPassed
	if n.session == nil && len(n.Rows()) == 0 && !isBack {
		delete(r.nodes, n.name)
		delete(r.provable, n.name)
		delete(r.waiting, n.name)
		delete(r.unheard, n)
		r.guard.Want(n.name, nil)
		r.fleet.Count(n.taken, 0)
		// What fitted it among others may now fit one alone.
		for _, one := range r.unknow(n) {
			r.gather(one)
			r.proceed(one)
		}
	}
}

// advance sends a node the picture that is due, if one is, and has its rows committed that are decided.
func (r *Reconciler) advance(n *node) {
	if work, due := n.Next(); due && n.session != nil {
		n.session.send(work)
		r.stats.WorkSets++
	}
	if n.Undecided() {
		r.provable[n.name] = n
	}
}
