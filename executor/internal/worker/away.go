package worker

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/transaction"
)

// awayPeace is for how long what a NIC has left that is gone stays as it is: one that is only plugged in elsewhere is back by then, and
// whoever sets it up finds what there was.
const awayPeace = time.Second

// leftovers are what NICs have left that are gone.
type leftovers struct {
	// what they are, and since when just that.
	what  string
	since time.Time
}

// clearAway takes away what NICs have left that have been gone for a while. It says whether anything was done.
func (r *round) clearAway(ctx context.Context, v *view) bool {
	changes := plan.Away(v.claims, v.kernel)
	if len(changes) == 0 {
		r.leftovers = leftovers{}
		r.retries.forget(awayKey())

		return false
	}
	if what := fmt.Sprint(changes); what != r.leftovers.what {
		r.leftovers = leftovers{what: what, since: r.now}
	}
	s := subject{key: awayKey(), revision: r.leftovers.what}
	if r.now.Before(r.leftovers.since.Add(awayPeace)) || !r.retries.due(s, r.now) {
		return false
	}
	if err := r.Transactions.ClearAway(ctx); err != nil {
		f := r.failed(s, failureProblem(transaction.Failure{Kind: transaction.Refused, Err: err}))
		r.logFailure("what NICs have left that are gone could not be taken away", f)

		return true
	}
	r.Log.Info("what NICs have left that are gone was taken away", zap.Stringers("changes", changes))

	return true
}

// nextClearing is when leftovers are to be taken away; zero: there are none, or they are overdue and wait for something else.
func (w *Worker) nextClearing(now time.Time) time.Time {
	if at := w.leftovers.since.Add(awayPeace); w.leftovers.what != "" && at.After(now) {
		return at
	}

	return time.Time{}
}
