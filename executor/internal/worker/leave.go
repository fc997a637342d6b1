package worker

import (
	"fmt"
	"time"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/work"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

const (
	// grace is for how long an interface is left to the host's network manager at most: one that hangs must not keep it from being
	// right for longer. It takes a tenth of that on a machine, udev included.
	grace = 2 * time.Second
	// lookSoon is how often it is looked at meanwhile, and for how long an interface must lack the same before it is taken to lack it for
	// good: what the manager says of itself may be older than what it is doing.
	lookSoon = 100 * time.Millisecond
)

// Manager is the host's network manager, which sets links up by itself when they come or are renamed, and when somebody has it do so.
type Manager interface {
	// Has says whether it has the link with an index as its own, or may be about to, and whether it has done with it, as it says itself.
	Has(link int) (has, done bool)
}

// leave is an interface that is left to the manager.
type leave struct {
	subject subject
	// since is when it was first seen to lack anything, lacks what that was when it was last looked at, and same since when it is just that.
	since, same time.Time
	lacks       string
}

// leaves says whether an interface that lacks something is left to the host's network manager for now: it was right before, and the
// manager is at work on it, or what it lacks has only just become that. What is repaired before the manager has done is undone by it: it
// begins by letting go of what it has not set up itself. What has failed since is the executor's to make: it has been left once already.
func (r *round) leaves(item work.Item, decision plan.Decision) bool {
	key := item.Key
	s := subjectOf(item, decision)
	if r.Manager == nil || r.attempts[key] != nil || r.retries.of(s) != nil {
		return false
	}
	if left, asked := r.left[key]; asked {
		return left
	}
	_, proved := r.isTaken(key)
	has, done := r.managerHas(decision)
	if proved == nil || *proved != item.Spec || !has {
		r.left[key] = false

		return false
	}
	lacks := fmt.Sprint(decision.Changes)
	l := r.leaving[key]
	if l == nil || l.subject != s {
		l = &leave{subject: s, since: r.now}
		r.leaving[key] = l
	}
	if l.lacks != lacks {
		l.lacks, l.same = lacks, r.now
	}
	r.left[key] = r.now.Sub(l.since) < grace && (!done || r.now.Sub(l.same) < lookSoon)

	return r.left[key]
}

// managerHas is Manager.Has of an interface: of its card, and of the VLAN on it where it is one.
func (r *round) managerHas(decision plan.Decision) (has, done bool) {
	has, done = r.Manager.Has(decision.Card)
	if has && decision.Link != 0 && decision.Link != decision.Card {
		has, itsDone := r.Manager.Has(decision.Link)

		return has, done && itsDone
	}

	return has, done
}

// nextLook is when the interfaces that are left to the manager are looked at again; zero: there are none.
func (w *Worker) nextLook(now time.Time) time.Time {
	if len(w.leaving) == 0 {
		return time.Time{}
	}

	return now.Add(lookSoon)
}

// leavesAny says whether any interface is left to the manager in this round.
func (r *round) leavesAny() bool {
	for _, left := range r.left {
		if left {
			return true
		}
	}

	return false
}

// forgetLeaving forgets the interfaces that are not left to the manager any more.
func (r *round) forgetLeaving() {
	for key := range r.leaving {
		if !r.left[key] || r.attempts[key] != nil {
			delete(r.leaving, key)
		}
	}
}

// leftToManager is why an interface that is left to the manager is not ready.
func leftToManager(s subject) *failure {
	return &failure{subject: s, problem: work.Problem{
		State: multinicv1.State_STATE_APPLYING, Message: "the host's network manager is setting it up, and is waited for",
	}}
}
