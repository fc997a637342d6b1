package worker

import (
	"time"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/retry"
	"multinic.dev/executor/internal/work"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

const (
	// firstRetry gives a cause that passes by itself the time to do so, and lastRetry keeps one that does not from filling logs.
	firstRetry = time.Second
	lastRetry  = 5 * time.Minute
)

// subject is what is tried: an item, the reading of the kernel, or what belongs to no single interface.
type subject struct {
	key plan.Key
	// revision and link are those that were tried: another content, or another card, is another subject.
	revision string
	link     int
}

// failure is what is remembered of a subject that failed.
type failure struct {
	subject subject
	problem work.Problem
	// attempts is how often it was tried in a row.
	attempts uint32
	// at is when it is tried again.
	at    time.Time
	waits *retry.Waits
}

// retries remembers what failed, and when it is tried again.
type retries struct {
	chance   func() float64
	failures map[plan.Key]*failure
	repairs  *repairs
}

// The keys of what is no item. No MAC is empty.
func readingKey() plan.Key { return plan.Key{VLAN: 1} }
func sharedKey() plan.Key  { return plan.Key{VLAN: 2} }
func recoverKey() plan.Key { return plan.Key{VLAN: 3} }
func awayKey() plan.Key    { return plan.Key{VLAN: 4} }

func newRetries(chance func() float64) *retries {
	return &retries{chance: chance, failures: map[plan.Key]*failure{}, repairs: newRepairs(chance)}
}

// of is what is remembered of a subject; nil: nothing, it may be tried.
func (r *retries) of(s subject) *failure {
	if f := r.failures[s.key]; f != nil && f.subject == s {
		return f
	}

	return nil
}

// isSuspect says whether what was last tried of a key with a revision was put back because the node's own network had lost
// something meanwhile: it may be what did it.
func (r *retries) isSuspect(key plan.Key, revision string) bool {
	f := r.failures[key]
	if f == nil || f.subject.revision != revision {
		return false
	}
	reason := f.problem.Reason

	return reason == multinicv1.Reason_REASON_UNDERLAY_LOST || reason == multinicv1.Reason_REASON_PATH_CHANGED
}

// due says whether a subject may be tried now.
func (r *retries) due(s subject, now time.Time) bool {
	f := r.of(s)

	return (f == nil || !now.Before(f.at)) && !now.Before(r.repairs.next(s))
}

// failed remembers that a subject was tried now, in vain.
func (r *retries) failed(s subject, problem work.Problem, now time.Time) *failure {
	f := r.of(s)
	if f == nil {
		f = &failure{subject: s, waits: retry.New(firstRetry, lastRetry, r.chance)}
		r.failures[s.key] = f
	}
	f.problem = problem
	f.attempts++
	f.at = now.Add(f.waits.Next())

	return f
}

// forgetAll makes every next failure a first one, and lets everything be tried now.
func (r *retries) forgetAll() {
	clear(r.failures)
	clear(r.repairs.made)
}

// forget makes the next failure under a key a first one.
func (r *retries) forget(key plan.Key) { delete(r.failures, key) }

// waiting is why a subject may not be tried yet: what it failed with, or that somebody else undoes what is done for it, which
// then lacks changes.
func (r *retries) waiting(s subject, lacks []plan.Change) *failure {
	if f := r.of(s); f != nil {
		return f
	}
	problem := lacking(lacks)
	problem.Message += " (something else keeps changing this interface: find out what, and stop it)"

	return &failure{subject: s, problem: problem, at: r.repairs.next(s)}
}

// keep forgets all items but those of a set.
func (r *retries) keep(set work.Set) {
	wanted := map[plan.Key]bool{readingKey(): true, sharedKey(): true, recoverKey(): true, awayKey(): true}
	for _, item := range set.Items {
		wanted[item.Key] = true
	}
	for key := range r.failures {
		if !wanted[key] && key != releaseKey(key.MAC) {
			r.forget(key)
		}
	}
	for key := range r.repairs.made {
		if !wanted[key] {
			delete(r.repairs.made, key)
		}
	}
}

// next is when the next subject is due; zero: none is. One that is overdue now is waiting for something else.
func (r *retries) next(now time.Time) time.Time {
	var first time.Time
	soonest := func(at time.Time) {
		if at.After(now) && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	for _, f := range r.failures {
		soonest(f.at)
	}
	for _, last := range r.repairs.made {
		soonest(last.next)
	}

	return first
}
