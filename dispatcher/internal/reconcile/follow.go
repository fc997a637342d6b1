package reconcile

import (
	"errors"
	"time"

	"go.uber.org/zap"

	"multinic.dev/dispatcher/internal/store"
)

// Health says how it stands with the table.
type Health struct {
	// Read says that the whole table was read once since the dispatcher started.
	Read bool
	// Problem is why the newest poll failed, in one line; empty when it succeeded. It may name the database's address and account.
	Problem string
	// NeedsSomebody says that the problem does not pass by itself: a setting or the database has to be changed.
	NeedsSomebody bool
}

// sayAgain is how often a problem that lasts is logged.
const sayAgain = time.Minute

// Changed takes over rows that were read anew (store.Follower).
func (r *Reconciler) Changed(change store.Change) {
	r.ask(func() {
		touched := make(map[*node]bool)
		if change.Full {
			r.health.Read = true
			for _, known := range r.nodes {
				known.SetRows(nil)
				touched[known] = true
			}
		}
		for name, rows := range change.Nodes {
			for _, known := range r.setGroup(name, rows) {
				touched[known] = true
			}
		}
		if change.Full {
			r.readAt, r.unheard = r.now(), make(map[*node]bool)
			for _, known := range r.nodes {
				if len(known.Rows()) > 0 && !known.HasReported() {
					r.unheard[known] = true
				}
			}
		}
		// All that is new is judged together before any of it is sent.
		for known := range touched {
			r.gather(known)
		}
		r.proceedAll()
		for known := range touched {
			r.proceed(known)
			r.forget(known)
		}
	})
}

// Failed takes note that a poll failed (store.Follower).
func (r *Reconciler) Failed(err error) {
	r.ask(func() {
		r.stats.FailedPolls++
		before := r.health.Problem
		r.health.Problem = err.Error()
		r.rule.Blind = true
		var setup *store.SetupError
		needsSomebody := errors.As(err, &setup)
		r.health.NeedsSomebody = needsSomebody
		// The same problem may be worded differently each time, as one with a port of the caller's in it is.
		if before != "" && needsSomebody == r.saidNeedsSomebody && r.now().Sub(r.said) < sayAgain {
			return
		}
		r.said, r.saidNeedsSomebody = r.now(), needsSomebody
		r.log.Error("reading the table failed; the last picture stands", zap.Error(err), zap.Bool("needs_somebody", needsSomebody))
	})
}

// Polled takes note that a poll succeeded (store.Follower), whose rows were handed over before.
func (r *Reconciler) Polled(began time.Time) {
	r.ask(func() {
		r.stats.Polls++
		if r.health.Problem != "" {
			r.log.Info("reading the table succeeds again")
		}
		r.health.Problem, r.health.NeedsSomebody = "", false
		r.rule.Read, r.rule.Blind = began, false
		r.proceedAll()
	})
}
