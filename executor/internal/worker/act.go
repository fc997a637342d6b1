package worker

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/transaction"
	"multinic.dev/executor/internal/work"
)

// tries is how often a round makes the items that are due: each time without those that failed, which may have kept others of
// their card back.
const tries = 3

// act makes the kernel what the set asks for, as far as it is due and the view shows that it is not so yet, and says whether it
// did anything. Without a set, or where the executor only observes, it touches nothing. When ctx ends, it finishes what it has
// begun, and begins nothing more.
func (r *round) act(ctx context.Context, v *view) bool {
	if !r.mayAct(ctx) {
		return false
	}
	cleared := r.clearAway(ctx, v)
	released := r.release(ctx, v)
	if !released && !r.anyDue(v) {
		return cleared
	}
	for _, batch := range r.batches() {
		r.makeBatch(ctx, batch)
	}

	return cleared || len(r.attempts) > 0
}

// mayAct says whether anything may be done: there is a set, what it asks for is to be done, and the worker is not about to end.
func (r *round) mayAct(ctx context.Context) bool {
	return r.set.Generation != (work.Generation{}) && !r.Observe && ctx.Err() == nil
}

// makeBatch makes what is due of a batch.
func (r *round) makeBatch(ctx context.Context, batch func(mac string) bool) {
	for try := 0; try < tries && ctx.Err() == nil; try++ {
		failures := r.Transactions.Make(ctx, transaction.Order{
			Items: planItems(r.set), Begin: r.begin, Shared: r.beginShared,
			Due: func(decision plan.Decision) bool { return batch(decision.Item.Key.MAC) && r.mayMake(decision) },
		})
		for key, a := range r.attempts {
			if key == sharedKey() {
				key = transaction.SharedKey()
			}
			if failure, failed := failures.Of(key); failed && (a.problem == work.Problem{}) && !a.removal {
				a.problem = failureProblem(failure)
			}
		}
		if len(failures) == 0 {
			return
		}
	}
}

// batches are what is made together. Cards by which the node's own network may have lost something are made one after the other:
// all are put back if it does, and the one that is to blame must not hold up the others.
func (r *round) batches() []func(mac string) bool {
	suspects := map[string]bool{}
	for _, item := range r.set.Items {
		if r.retries.isSuspect(item.Key, item.Revision) {
			suspects[item.Key.MAC] = true
		}
	}
	batches := []func(string) bool{func(mac string) bool { return !suspects[mac] }}
	for _, suspect := range slices.Sorted(maps.Keys(suspects)) {
		batches = append(batches, func(mac string) bool { return mac == suspect })
	}

	return batches
}

// anyDue says whether a view has any change that may be made now.
func (r *round) anyDue(v *view) bool {
	for _, item := range r.set.Items {
		if decision := v.wanted[item.Key]; len(decision.Changes) > 0 && r.mayMake(decision) {
			return true
		}
	}

	return len(v.shared) > 0 && r.mayMakeShared()
}

// planItems are the items of a set that can be planned for.
func planItems(set work.Set) []plan.Item {
	var items []plan.Item
	for _, item := range set.Items {
		if (item.Problem == work.Problem{}) {
			items = append(items, plan.Item{Key: item.Key, Spec: item.Spec})
		}
	}

	return items
}

// mayMake says whether changes may be made for an item now.
func (r *round) mayMake(decision plan.Decision) bool {
	item := r.itemOf(decision)

	return r.may(subjectOf(item, decision)) && !r.leaves(item, decision)
}

// mayMakeShared says whether changes may be made now of what belongs to no single interface, if nothing else is made: a manager that
// sets up an interface sets that up as well.
func (r *round) mayMakeShared() bool { return r.may(sharedSubject(r.set)) && !r.leavesAny() }

// begin notes that changes are made for an item.
func (r *round) begin(decision plan.Decision) {
	r.logApplying(r.itemOf(decision), decision)
	r.attempt(decision.Item.Key)
}

// itemOf is the item of the set that a decision is on.
func (r *round) itemOf(decision plan.Decision) work.Item {
	return r.set.Items[slices.IndexFunc(r.set.Items, func(item work.Item) bool { return item.Key == decision.Item.Key })]
}

// beginShared does the same for what belongs to no single interface.
func (r *round) beginShared([]plan.Change) bool {
	if !r.may(sharedSubject(r.set)) {
		return false
	}
	r.attempt(sharedKey())

	return true
}

// release takes away what the set says that the node should give up, and cards that have nothing left and are not about to get
// anything. It says whether there were any.
func (r *round) release(ctx context.Context, v *view) bool {
	releases := r.releases()
	releases = slices.DeleteFunc(releases, func(release plan.Release) bool {
		return !r.may(releaseSubject(release)) || v.release(release).Obstacle != plan.None
	})
	if len(releases) == 0 {
		return false
	}
	for _, release := range releases {
		r.attempt(releaseKey(release.MAC)).removal = true
		r.Log.Info("removal started", zap.String("mac", release.MAC), zap.Ints("vlans", release.VLANs), zap.Bool("whole", release.Whole),
			zap.Uint64("generation", r.set.Generation.Number))
	}
	failures := r.Transactions.Release(ctx, releases)
	for _, release := range releases {
		s := releaseSubject(release)
		failure, failed := failures.Of(plan.Key{MAC: release.MAC})
		took := zap.Duration("took", time.Since(r.attempts[s.key].began))
		if !failed {
			r.retries.forget(s.key)
			r.Log.Info("removal finished", zap.String("mac", release.MAC), zap.Ints("vlans", release.VLANs), took)

			continue
		}
		r.attempts[s.key].problem = failureProblem(failure)
		f := r.failed(s, failureProblem(failure))
		r.Log.Error("removal finished", zap.String("mac", release.MAC), zap.Ints("vlans", release.VLANs), took, zap.String("error", f.problem.Message),
			zap.Uint32("attempts", f.attempts), zap.Time("next_retry", f.at))
	}

	return true
}

// releases are what the cards of the record should give up.
func (r *round) releases() []plan.Release {
	var releases []plan.Release
	for _, card := range r.Record.Cards() {
		release := plan.Release{MAC: card.MAC, Whole: true}
		if card.Was != nil {
			release.Original = &card.Was.Original
		}
		for _, one := range card.Interfaces {
			if slices.Contains(r.set.Removals, plan.Key{MAC: card.MAC, VLAN: one.VLAN}) {
				release.VLANs = append(release.VLANs, one.VLAN)
			} else {
				release.Whole = false
			}
		}
		if slices.ContainsFunc(r.set.Items, func(item work.Item) bool { return item.Key.MAC == card.MAC }) {
			release.Whole = false
		}
		if release.Whole || len(release.VLANs) > 0 {
			releases = append(releases, release)
		}
	}

	return releases
}

// releaseKey is the key of what is tried to take something away from a card. No interface has it.
func releaseKey(mac string) plan.Key { return plan.Key{MAC: mac, VLAN: -1} }

// releaseSubject is what is tried to take something away from a card.
func releaseSubject(release plan.Release) subject {
	return subject{key: releaseKey(release.MAC), revision: fmt.Sprint(release.VLANs, release.Whole)}
}

// subjectOf is what is tried for an item.
func subjectOf(item work.Item, decision plan.Decision) subject {
	return subject{key: item.Key, revision: item.Revision, link: decision.Card}
}

// sharedSubject is what is tried for what belongs to no single item of a set. A set with another content is another subject.
func sharedSubject(set work.Set) subject {
	var revisions []string
	for _, item := range set.Items {
		revisions = append(revisions, item.Revision)
	}

	return subject{key: sharedKey(), revision: strings.Join(revisions, " ")}
}

// may says whether a subject may be tried now: what went well in this round may go on, and what failed in an earlier one must
// wait for its time.
func (r *round) may(s subject) bool {
	if a := r.attempts[s.key]; a != nil {
		return a.problem == work.Problem{}
	}

	return r.retries.due(s, r.now)
}

// failed remembers that a subject was tried in this round, in vain. When it is tried again counts from now: what was tried may have taken
// long.
func (r *round) failed(s subject, problem work.Problem) *failure {
	return r.retries.failed(s, problem, time.Now())
}

// attempt is what is tried under a key in this round.
func (r *round) attempt(key plan.Key) *attempt {
	a := r.attempts[key]
	if a == nil {
		a = &attempt{began: time.Now()}
		r.attempts[key] = a
	}

	return a
}

// Transactions are what makes changes; see transaction.Transactor.
type Transactions interface {
	// Recover puts back what a transaction has left that did not end.
	Recover(ctx context.Context) error
	// Unfinished says why a card is not what it was before such a transaction yet; nil: it is.
	Unfinished(mac string) error
	// Make makes what an order asks for, in one transaction, and returns what failed and was put back.
	Make(ctx context.Context, order transaction.Order) transaction.Failures
	// Activation is what the last changes were made live by.
	Activation() transaction.Activation
	// Foresee says what would be done for releases and items, and does nothing.
	Foresee(ctx context.Context, items []plan.Item, releases []plan.Release) (plan.Foreseen, error)
	// Release takes away what cards give up, and returns what failed and was put back.
	Release(ctx context.Context, releases []plan.Release) transaction.Failures
	// ClearAway takes away what NICs have left that are not there.
	ClearAway(ctx context.Context) error
}
