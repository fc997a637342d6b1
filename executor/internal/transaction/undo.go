package transaction

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.uber.org/zap"

	"multinic.dev/executor/internal/plan"
)

// finish puts back what failed, asks the guard about the rest, and writes down what became of it.
func (r *run) finish(ctx context.Context, after func(context.Context) error) {
	r.undo(ctx)
	if len(r.alive) > 0 && after != nil {
		if err := after(ctx); err != nil {
			r.failAll(nil, Failure{Kind: Guarded, Err: err})
			r.undo(ctx)
		}
	}
	if len(r.alive) > 0 && r.persist(ctx) {
		r.undo(ctx)
	}
	if r.unfinished {
		return
	}
	if err := r.Journal.End(); err != nil {
		r.failAll(nil, Failure{Kind: Persist, Err: err})
		r.undo(ctx)
		r.unfinished, r.stuck, r.stuckCards = true, err, []string{} // Recover ends the journal.
		return
	}
	for _, mac := range slices.Clone(r.alive) {
		if err := r.proved(mac); err != nil {
			r.failed[plan.Key{MAC: mac, VLAN: wholeCard}] = Failure{Kind: Persist, Err: err}
		}
	}
	if len(r.persists) > 0 {
		r.sweep()
	}
}

// entangle fails those cards as well that have what a failed one needs back: an address, or a name.
func (r *run) entangle() {
	for again := true; again; {
		again = false
		for _, mac := range slices.Sorted(maps.Keys(r.formers)) {
			if slices.Contains(r.alive, mac) {
				continue
			}
			for _, other := range slices.Clone(r.alive) {
				if r.formers[mac].Needs(plan.FormerOf(other, []string{r.names[other]}, r.kernel)) {
					r.fail(other, plan.Key{MAC: other, VLAN: wholeCard}, Failure{
						Kind: Refused, Err: fmt.Errorf("put back together with %s, which has failed and needs its address or its name back", mac),
					})
					again = true
				}
			}
		}
	}
}

// undo puts back every card that has failed and was not put back yet, and those that are entangled with it, and has the journal keep what
// cannot be.
func (r *run) undo(ctx context.Context) {
	r.entangle()
	var failed []string
	for _, mac := range slices.Sorted(maps.Keys(r.formers)) {
		if !slices.Contains(r.alive, mac) {
			failed = append(failed, mac)
		}
	}
	if len(failed) == 0 {
		return
	}
	var words []string
	for _, key := range slices.SortedFunc(maps.Keys(r.failed), func(a, b plan.Key) int { return strings.Compare(a.MAC, b.MAC) }) {
		words = append(words, r.failed[key].Cause().Error())
	}
	r.Log.Warn("rolling back", zap.Strings("mac", failed), zap.Strings("error", words))
	if err := r.putBack(ctx, r.entry(failed)); err != nil {
		r.unfinished, r.stuck, r.stuckCards = true, err, failed
		r.Log.Error("rolling back has not succeeded yet; it will be tried again", zap.Strings("mac", failed), zap.Error(err))
		// Those that are as they should be must not be put back by the next try.
		if err := r.Journal.Begin(r.entry(failed)); err != nil {
			r.Log.Error("the journal cannot be written", zap.Error(err))
		}
		return
	}
	r.Log.Info("rolled back", zap.Strings("mac", failed))
	for _, mac := range failed {
		delete(r.formers, mac)
	}
}

func changesOf(steps []step) []plan.Change {
	var changes []plan.Change
	for _, s := range steps {
		changes = append(changes, s.change)
	}
	return changes
}
