package worker

import (
	"context"
	"maps"
	"slices"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/record"
	"multinic.dev/executor/internal/work"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

// judge says by the last view what became of each item, and how each other interface of the record stands. When ctx has
// ended, it does so only for items that were changed in this round: the others were not begun.
func (r *round) judge(ctx context.Context, v *view) []work.Result {
	shared := r.judgeShared(ctx, v)
	var results []work.Result
	for _, item := range r.set.Items {
		if ctx.Err() == nil || r.attempts[item.Key] != nil {
			results = append(results, r.judgeItem(item, v, shared))
		}
	}
	if ctx.Err() == nil {
		results = append(results, r.judgeStanding(v)...)
	}
	slices.SortFunc(results, func(a, b work.Result) int { return work.CompareKeys(a.Key, b.Key) })

	return results
}

// judgeItem says what became of one item, and records what was proved.
func (r *round) judgeItem(item work.Item, v *view, shared *failure) work.Result {
	decision, decided := v.wanted[item.Key]
	if !decided {
		decision = v.standing[item.Key]
	}
	result := work.Result{Key: item.Key, Revision: item.Revision, Name: decision.Name, Observed: v.observed(decision)}
	var f *failure
	switch {
	case item.Problem != work.Problem{}:
		result.Problem = item.Problem
	case decision.Obstacle != plan.None:
		result.Problem = obstacleProblem(decision.Obstacle, decision.Message)
	case r.Observe:
		if changes := v.foreseenFor(item); len(changes) > 0 {
			result.Problem, result.Planned = planned(changes), wordsOf(changes)
		}
	default:
		if f = r.stuck(item.Key.MAC); f == nil {
			f = r.failureOf(item, decision, v, shared)
		}
		if f != nil {
			result.Problem, result.Attempts, result.NextRetry = f.problem, f.attempts, f.at
		}
	}
	if f == nil {
		// Ready, or in the way of something else: when that has gone it is tried at once.
		r.retries.forget(item.Key)
	}
	result.Taken, result.Proved = r.isTaken(item.Key)
	r.logResult(item, result)

	return result
}

// isTaken says whether an interface is multinic's on disk, and what it was last proved to be.
func (r *round) isTaken(key plan.Key) (taken bool, proved *plan.Spec) {
	for _, card := range r.Record.Cards() {
		i := slices.IndexFunc(card.Interfaces, func(one record.Interface) bool { return card.MAC == key.MAC && one.VLAN == key.VLAN })
		if i >= 0 {
			return true, card.Interfaces[i].Proved
		}
	}

	return false, nil
}

// mostPlanned is how many planned changes are reported of one interface; the protocol allows no more.
const mostPlanned = 64

func wordsOf(changes []plan.Change) []string {
	var words []string
	for _, change := range changes[:min(len(changes), mostPlanned)] {
		words = append(words, change.String())
	}

	return words
}

// failureOf is why an item that nothing is in the way of is not ready; nil: it is, and that is recorded.
func (r *round) failureOf(item work.Item, decision plan.Decision, v *view, shared *failure) *failure {
	s := subjectOf(item, decision)
	tried, was := r.attempts[item.Key], r.retries.of(s)
	waiting := tried == nil && !r.retries.due(s, r.now)
	switch left := len(decision.Changes) > 0; {
	case left && tried == nil && r.left[item.Key]:
		return leftToManager(s)
	case left && waiting:
		return r.retries.waiting(s, decision.Changes)
	case left && tried != nil && tried.problem != work.Problem{}:
		return r.failed(s, tried.problem)
	case left:
		return r.failed(s, lacking(decision.Changes))
	case shared != nil && item.Spec.Address.IsValid():
		return shared
	case waiting && was != nil && was.problem.Reason == multinicv1.Reason_REASON_PERSIST_FAILED:
		return was
	}
	if err := r.prove(decision, v); err != nil {
		return r.failed(s, persistProblem(err))
	}
	if tried != nil {
		r.retries.repairs.repaired(s, r.now)
	}

	return nil
}

// prove records that the kernel was seen to be what a decision's item asks for. A card that was right from the start is
// claimed by that.
func (r *round) prove(decision plan.Decision, v *view) error {
	key := decision.Item.Key
	if taken, _ := r.isTaken(key); !taken {
		if err := r.Record.Claim(key, decision.NIC, v.was(decision.Card, r.Boot)); err != nil {
			return err
		}
	}

	return r.Record.Prove(key, decision.Item.Spec)
}

// judgeShared is the failure of what belongs to no single interface; nil: it is as it should be, or nobody was to make it so.
func (r *round) judgeShared(ctx context.Context, v *view) *failure {
	s := sharedSubject(r.set)
	tried := r.attempts[s.key]
	switch {
	case len(v.shared) == 0:
		r.retries.forget(s.key)
		if tried != nil {
			r.retries.repairs.repaired(s, r.now)
		}

		return nil
	case r.set.Generation == work.Generation{} || r.Observe:
		return nil
	case tried == nil && ctx.Err() != nil:
		return nil
	case tried == nil && !r.retries.due(s, r.now):
		return r.retries.waiting(s, v.shared)
	case tried == nil && r.leavesAny():
		return leftToManager(s)
	}
	problem := lacking(v.shared)
	if tried != nil && tried.problem != (work.Problem{}) {
		problem = tried.problem
	}
	problem.Message = "the rules for traffic that is bound to no address: " + problem.Message
	f := r.failed(s, problem)
	r.logFailure("shared rules failed", f)

	return f
}

// judgeStanding says how the interfaces of the record stand that no item names. They are ready if the kernel shows exactly
// what was last proved of them, and nobody wants them to go.
func (r *round) judgeStanding(v *view) []work.Result {
	var results []work.Result
	releases := map[string]plan.Release{}
	for _, release := range r.releases() {
		releases[release.MAC] = release
	}
	for _, card := range r.Record.Cards() {
		for _, one := range card.Interfaces {
			key := plan.Key{MAC: card.MAC, VLAN: one.VLAN}
			if slices.ContainsFunc(r.set.Items, func(item work.Item) bool { return item.Key == key }) {
				continue
			}
			decision, proved := v.standing[key]
			result := work.Result{Key: key, Name: nameOf(card, one), Observed: v.observed(decision), Taken: true, Proved: one.Proved}
			switch changes, stuck := decision.Changes, r.stuck(card.MAC); {
			case stuck != nil:
				result.Problem, result.Attempts, result.NextRetry = stuck.problem, stuck.attempts, stuck.at
			case slices.Contains(r.set.Removals, key):
				r.judgeRemoval(releases[card.MAC], v, &result)
			case !proved:
				result.Problem = unverified("nothing was ever proved of it: it stays as it is until the table asks for something")
			case decision.Obstacle != plan.None:
				result.Problem = unverified(decision.Message)
			case len(changes) > 0:
				result.Problem = lacking(changes)
			case decision.Item.Spec.Address.IsValid() && len(v.standingShared) > 0:
				result.Problem = lacking(v.standingShared)
			}
			r.logResult(work.Item{Key: key}, result)
			results = append(results, result)
		}
	}

	return results
}

// judgeRemoval says why an interface that should go is there still.
func (r *round) judgeRemoval(release plan.Release, v *view, result *work.Result) {
	if released := v.release(release); released.Obstacle != plan.None {
		r.retries.forget(releaseKey(release.MAC)) // When that has gone it is tried at once.
		result.Problem = obstacleProblem(released.Obstacle, released.Message)

		return
	}
	if r.Observe {
		changes := v.foreseen.Releases[release.MAC].Changes
		result.Problem, result.Planned = planned(changes), wordsOf(changes)

		return
	}
	if f := r.retries.of(releaseSubject(release)); f != nil {
		result.Problem, result.Attempts, result.NextRetry = f.problem, f.attempts, f.at

		return
	}
	result.Problem = work.Problem{State: multinicv1.State_STATE_APPLYING, Message: "it is about to be removed"}
}

// unreadable says of each item and interface that nothing is known of it, since the kernel could not be read.
func (r *round) unreadable(ctx context.Context, err error) []work.Result {
	s := subject{key: readingKey()}
	f := r.retries.of(s)
	if f == nil || r.retries.due(s, r.now) {
		f = r.failed(s, unverified(err.Error()))
		if ctx.Err() == nil {
			r.logFailure("the kernel could not be read", f)
		}
	}
	results := map[plan.Key]work.Result{}
	names := map[plan.Key]string{}
	for _, card := range r.Record.Cards() {
		for _, one := range card.Interfaces {
			key := plan.Key{MAC: card.MAC, VLAN: one.VLAN}
			names[key] = nameOf(card, one)
			results[key] = work.Result{
				Key: key, Problem: f.problem, Name: names[key], Attempts: f.attempts, NextRetry: f.at, Taken: true, Proved: one.Proved,
			}
		}
	}
	for _, item := range r.set.Items {
		result := work.Result{Key: item.Key, Revision: item.Revision, Problem: f.problem, Name: names[item.Key], Attempts: f.attempts, NextRetry: f.at}
		if (item.Problem != work.Problem{}) {
			result = work.Result{Key: item.Key, Revision: item.Revision, Problem: item.Problem, Name: result.Name}
		}
		result.Taken, result.Proved = r.isTaken(item.Key)
		if r.attempts[item.Key] != nil {
			r.logResult(item, result)
		}
		results[item.Key] = result
	}

	return slices.SortedFunc(maps.Values(results), func(a, b work.Result) int { return work.CompareKeys(a.Key, b.Key) })
}

// nameOf is the name of an interface of a card.
func nameOf(card record.Card, one record.Interface) string { return plan.NameOf(card.Name, one.VLAN) }
