package worker

import (
	"slices"
	"time"

	"go.uber.org/zap"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/work"
)

// about are the fields of what is said of an item.
func (r *round) about(item work.Item, name string) []zap.Field {
	fields := []zap.Field{zap.String("mac", item.Key.MAC)}
	if item.Key.VLAN != 0 {
		fields = append(fields, zap.Int("vlan", item.Key.VLAN))
	}
	if name != "" {
		fields = append(fields, zap.String("interface", name))
	}
	if item.Revision != "" {
		fields = append(fields, zap.Int64s("row", item.Rows), zap.String("revision", item.Revision), zap.Uint64("generation", r.set.Generation.Number))
	}

	return fields
}

// logApplying says what is about to be done to an interface.
func (r *round) logApplying(item work.Item, decision plan.Decision) {
	event := "apply started"
	if r.attempts[item.Key] != nil {
		event = "apply goes on"
	}
	r.Log.Info(event, append(r.about(item, decision.Name), zap.Stringers("changes", decision.Changes))...)
}

// logResult says how the changes of an interface ended or, where none were made, that it is now otherwise than it was in the
// newest report.
func (r *round) logResult(item work.Item, result work.Result) {
	fields := r.about(item, result.Name)
	if !result.Ready() {
		fields = append(fields, zap.Stringer("state", result.State()), zap.Stringer("reason", result.Problem.Reason),
			zap.String("error", result.Problem.Message))
	}
	if !result.NextRetry.IsZero() {
		fields = append(fields, zap.Uint32("attempts", result.Attempts), zap.Time("next_retry", result.NextRetry))
	}
	if tried := r.attempts[item.Key]; tried != nil {
		r.Meter.Applied(result.Ready())
		fields = append(fields, zap.Duration("took", time.Since(tried.began)))
		if result.Ready() {
			r.Log.Info("apply finished", fields...)
		} else {
			r.Log.Error("apply finished", fields...)
		}

		return
	}
	was := slices.IndexFunc(r.reported.Results, func(w work.Result) bool {
		return w.Key == result.Key && w.Revision == result.Revision && w.Problem == result.Problem && w.Attempts == result.Attempts
	})
	switch {
	case was >= 0:
	case result.Ready():
		r.Log.Info("verified", fields...)
	default:
		r.Log.Warn("not as it should be", fields...)
	}
}

// logFailure says what went wrong with what belongs to no single interface.
func (r *round) logFailure(event string, f *failure) {
	r.Log.Error(event, zap.String("error", f.problem.Message), zap.Uint32("attempts", f.attempts), zap.Time("next_retry", f.at),
		zap.Uint64("generation", r.set.Generation.Number))
}
