package worker

import (
	"time"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/retry"
)

const (
	// firstPeace and lastPeace bound how long an interface is left alone that somebody else changes again and again: two who
	// each put it right at once would keep the node busy with nothing else. The first repair is always made at once.
	firstPeace = time.Second
	lastPeace  = 30 * time.Second
	// calm is how long an interface must have stood for the next repair to be a first one. Longer than lastPeace, or a fight
	// would look like calm.
	calm = 2 * lastPeace
)

// repair is when an item was last made what it should be.
type repair struct {
	subject subject
	at      time.Time
	// next is when it may be changed again.
	next  time.Time
	peace *retry.Waits
}

// repairs remembers what was made right, and when it may be changed again.
type repairs struct {
	chance func() float64
	made   map[plan.Key]*repair
}

func newRepairs(chance func() float64) *repairs {
	return &repairs{chance: chance, made: map[plan.Key]*repair{}}
}

// repaired remembers that a subject was changed, and then was as it should be.
func (r *repairs) repaired(s subject, now time.Time) {
	last := r.made[s.key]
	if last == nil || last.subject != s || now.Sub(last.at) > calm {
		r.made[s.key] = &repair{subject: s, at: now, next: now, peace: retry.New(firstPeace, lastPeace, r.chance)}

		return
	}
	last.at, last.next = now, now.Add(last.peace.Next())
}

// next is when a subject may be changed again; the past, if it may be now.
func (r *repairs) next(s subject) time.Time {
	if last := r.made[s.key]; last != nil && last.subject == s {
		return last.next
	}

	return time.Time{}
}
