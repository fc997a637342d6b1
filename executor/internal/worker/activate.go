package worker

import (
	"context"
	"strings"
	"time"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/work"
)

// activate makes the changes of a view, those of all items that have any and are due, and says whether there were any. What
// fails for one item ends that item's part of the round, and nothing else. Without a set it touches nothing.
func (r *round) activate(ctx context.Context, v *view) bool {
	if r.set.Generation == (work.Generation{}) {
		return false
	}
	made := false
	for _, item := range r.set.Items {
		decision, planned := v.wanted[item.Key]
		if !planned || decision.Obstacle != plan.None || len(decision.Changes) == 0 || !r.may(subjectOf(item, decision)) {
			continue
		}
		if ctx.Err() != nil {
			break
		}
		made = true
		r.logApplying(item, decision)
		r.attempt(item.Key).problem = r.carryOut(decision)
	}
	if len(v.shared) > 0 && r.may(sharedSubject(r.set)) && (made || ctx.Err() == nil) {
		made = true
		r.attempt(sharedKey()).problem = r.apply(v.shared)
	}

	return made
}

// subjectOf is what is tried for an item.
func subjectOf(item work.Item, decision plan.Decision) subject {
	return subject{key: item.Key, revision: item.Revision, link: decision.Link}
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

// attempt is what is tried under a key in this round.
func (r *round) attempt(key plan.Key) *attempt {
	a := r.attempts[key]
	if a == nil {
		a = &attempt{began: time.Now()}
		r.attempts[key] = a
	}

	return a
}

// carryOut writes down whose the card is, and only then makes the changes: an executor that is killed in the middle must know
// it again.
func (r *round) carryOut(decision plan.Decision) work.Problem {
	if err := r.Record.Claim(decision.Item.Key.MAC, decision.Name); err != nil {
		return persistProblem(err)
	}

	return r.apply(decision.Changes)
}

// apply makes changes until one fails: those after it may need it.
func (r *round) apply(changes []plan.Change) work.Problem {
	for _, change := range changes {
		if err := r.Kernel.Apply(change); err != nil {
			return applyProblem(err)
		}
	}

	return work.Problem{}
}
