package worker

import (
	"context"
	"maps"
	"slices"

	"multinic.dev/executor/internal/plan"
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
	decision, planned := v.wanted[item.Key]
	if !planned {
		decision = v.standing[item.Key]
	}
	result := work.Result{Key: item.Key, Revision: item.Revision, Name: decision.Name, Observed: v.observed(decision)}
	switch {
	case item.Problem != work.Problem{}:
		result.Problem = item.Problem
	case decision.Obstacle != plan.None:
		result.Problem = obstacleProblem(decision)
	default:
		if f := r.failureOf(item, decision, shared); f != nil {
			result.Problem, result.Attempts, result.NextRetry = f.problem, f.attempts, f.at
		}
	}
	if result.Problem.State != multinicv1.State_STATE_FAILED {
		// Ready, or in the way of something else: when that has gone it is tried at once.
		r.retries.forget(item.Key)
	}
	r.logResult(item, result)

	return result
}

// failureOf is why an item that nothing is in the way of is not ready; nil: it is, and that is recorded.
func (r *round) failureOf(item work.Item, decision plan.Decision, shared *failure) *failure {
	s := subjectOf(item, decision)
	tried, was := r.attempts[item.Key], r.retries.of(s)
	waiting := tried == nil && !r.retries.due(s, r.now)
	switch left := len(decision.Changes) > 0; {
	case left && waiting:
		return r.retries.waiting(s, decision.Changes)
	case left && tried != nil && tried.problem != work.Problem{}:
		return r.retries.failed(s, tried.problem, r.now)
	case left:
		return r.retries.failed(s, lacking(decision.Changes), r.now)
	case shared != nil && item.Spec.Address.IsValid():
		return shared
	case waiting && was != nil && was.problem.Reason == multinicv1.Reason_REASON_PERSIST_FAILED:
		return was
	}
	if err := r.prove(decision); err != nil {
		return r.retries.failed(s, persistProblem(err), r.now)
	}
	if tried != nil {
		r.retries.repairs.repaired(s, r.now)
	}

	return nil
}

// prove records that the kernel was seen to be what a decision's item asks for. A card that was right from the start is
// claimed by that.
func (r *round) prove(decision plan.Decision) error {
	mac := decision.Item.Key.MAC
	if err := r.Record.Claim(mac, decision.Name); err != nil {
		return err
	}

	return r.Record.Prove(mac, decision.Item.Spec)
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
	case r.set.Generation == work.Generation{}:
		return nil
	case tried == nil && ctx.Err() != nil:
		return nil
	case tried == nil && !r.retries.due(s, r.now):
		return r.retries.waiting(s, v.shared)
	}
	problem := lacking(v.shared)
	if tried != nil && tried.problem != (work.Problem{}) {
		problem = tried.problem
	}
	problem.Message = "the rules for traffic that is bound to no address: " + problem.Message
	f := r.retries.failed(s, problem, r.now)
	r.logFailure("shared rules failed", f)

	return f
}

// judgeStanding says how the interfaces of the record stand that no item names. They are ready if the kernel shows exactly
// what was last proved of them.
func (r *round) judgeStanding(v *view) []work.Result {
	var results []work.Result
	for _, each := range r.Record.Interfaces() {
		key := plan.Key{MAC: each.MAC}
		if slices.ContainsFunc(r.set.Items, func(item work.Item) bool { return item.Key == key }) {
			continue
		}
		decision, proved := v.standing[key]
		result := work.Result{Key: key, Name: each.Name, Observed: v.observed(decision)}
		switch changes := decision.Changes; {
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

	return results
}

// unreadable says of each item and interface that nothing is known of it, since the kernel could not be read.
func (r *round) unreadable(ctx context.Context, err error) []work.Result {
	s := subject{key: readingKey()}
	f := r.retries.of(s)
	if f == nil || r.retries.due(s, r.now) {
		f = r.retries.failed(s, unverified(err.Error()), r.now)
		if ctx.Err() == nil {
			r.logFailure("the kernel could not be read", f)
		}
	}
	results := map[plan.Key]work.Result{}
	names := map[string]string{}
	for _, each := range r.Record.Interfaces() {
		key := plan.Key{MAC: each.MAC}
		names[each.MAC] = each.Name
		results[key] = work.Result{Key: key, Problem: f.problem, Name: each.Name, Attempts: f.attempts, NextRetry: f.at}
	}
	for _, item := range r.set.Items {
		result := work.Result{Key: item.Key, Revision: item.Revision, Problem: f.problem, Attempts: f.attempts, NextRetry: f.at}
		if item.Key.VLAN == 0 {
			result.Name = names[item.Key.MAC]
		}
		if (item.Problem != work.Problem{}) {
			result = work.Result{Key: item.Key, Revision: item.Revision, Problem: item.Problem, Name: result.Name}
		}
		if r.attempts[item.Key] != nil {
			r.logResult(item, result)
		}
		results[item.Key] = result
	}

	return slices.SortedFunc(maps.Values(results), func(a, b work.Result) int { return work.CompareKeys(a.Key, b.Key) })
}
