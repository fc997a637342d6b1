package worker

import (
	"context"
	"reflect"
	"time"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/work"
)

// passes is how often a round changes the kernel before it gives up: a kernel does more at a change than it was told, which
// a second pass puts right; what a third does not is put there again by somebody else.
const passes = 3

// round is one time that the kernel is read, made what a set asks for, and read again.
type round struct {
	*Worker

	set work.Set
	// now is when it began.
	now time.Time
	// attempts are what was tried in it, by the item's key or sharedKey.
	attempts map[plan.Key]*attempt
}

// attempt is what was tried for an item in one round.
type attempt struct {
	began time.Time
	// problem is why not all changes were made, and no further one will be; zero: all were made.
	problem work.Problem
}

// round works through one round and publishes what there is then, if it is news. When ctx ends meanwhile, the interface in
// hand is finished, what was finished is proved and recorded, no other is begun, and nothing is published.
func (w *Worker) round(ctx context.Context) {
	set, _ := w.Sets.Get()
	w.retries.keep(set)
	r := &round{Worker: w, set: set, now: time.Now(), attempts: map[plan.Key]*attempt{}}
	view, err := w.look(ctx, set)
	for pass := 0; pass < passes && err == nil && r.activate(ctx, view); pass++ {
		view, err = w.look(context.WithoutCancel(ctx), set)
	}
	if len(r.attempts) > 0 {
		w.Meter.Activated(time.Since(r.now))
	}
	var results []work.Result
	if err != nil {
		results = r.unreadable(ctx, err)
	} else {
		w.retries.forget(readingKey())
		results = r.judge(ctx, view)
	}
	if ctx.Err() == nil {
		w.publish(work.Report{Generation: set.Generation, Results: results})
	}
}

// publish reports, if it is news.
func (w *Worker) publish(report work.Report) {
	if w.published && reflect.DeepEqual(report, w.reported) {
		return
	}
	w.reported, w.published = report, true
	w.Meter.Reported(report)
	w.Reports.Put(report)
}
