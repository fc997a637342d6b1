package worker

import (
	"context"
	"reflect"
	"time"

	"go.uber.org/zap"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/work"
)

// round is one time that the kernel is read, made what a set asks for, and read again.
type round struct {
	*Worker

	set work.Set
	// now is when it began.
	now time.Time
	// attempts are what was tried in it, by the item's key or sharedKey.
	attempts map[plan.Key]*attempt
	// left says which of the items that lack something are left to the host's network manager in it, of those that were asked about.
	left map[plan.Key]bool
}

// attempt is what was tried for an item in one round.
type attempt struct {
	began time.Time
	// problem is why the card was put back, and why nothing more is done for the item in this round; zero: it was not.
	problem work.Problem
	// removal says that something was to be taken away.
	removal bool
}

// round works through one round and publishes what there is then, if it is news. When ctx ends meanwhile, the transaction in
// hand is finished, no other is begun, and nothing is published.
func (w *Worker) round(ctx context.Context) {
	set, _ := w.Sets.Get()
	w.retries.keep(set)
	if asked := (work.Generation{Stream: set.Generation.Stream, Number: set.Retry}); set.Retry > 0 && asked != w.asked {
		w.asked = asked
		w.retries.forgetAll()
		w.Log.Info("an operator asks for another try", zap.Uint64("generation", set.Retry))
	}
	r := &round{Worker: w, set: set, now: time.Now(), attempts: map[plan.Key]*attempt{}, left: map[plan.Key]bool{}}
	defer r.forgetLeaving()
	r.recover(ctx)
	view, err := r.look(ctx)
	if err == nil && r.act(ctx, view) {
		w.Meter.Activated(time.Since(r.now))
		view, err = r.look(context.WithoutCancel(ctx)) // What was changed is judged.
	}
	if err == nil && w.Observe {
		view.foreseen, err = w.Transactions.Foresee(ctx, planItems(set), r.releases())
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

// recover puts back what a transaction has left that did not end, before anything is said of the node.
func (r *round) recover(ctx context.Context) {
	s := subject{key: recoverKey()}
	if r.Observe || !r.retries.due(s, r.now) {
		return
	}
	err := r.Transactions.Recover(ctx)
	if err == nil {
		r.retries.forget(s.key)

		return
	}
	r.logFailure("what a transaction has left could not be put back yet", r.failed(s, unfinished(err)))
}

// stuck is why nothing is true of a card but that it is about to be put back; nil: it is not.
func (r *round) stuck(mac string) *failure {
	if r.Observe {
		return nil
	}
	err := r.Transactions.Unfinished(mac)
	if err == nil {
		return nil
	}
	f := r.retries.of(subject{key: recoverKey()})
	if f == nil {
		f = r.failed(subject{key: recoverKey()}, unfinished(err))
	}

	return f
}

// publish reports, if it is news.
func (w *Worker) publish(report work.Report) {
	report.Activation = string(w.Transactions.Activation())
	if w.published && reflect.DeepEqual(report, w.reported) {
		return
	}
	w.reported, w.published = report, true
	w.Meter.Reported(report)
	w.Reports.Put(report)
}
