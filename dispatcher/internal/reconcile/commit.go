package reconcile

import (
	"context"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"multinic.dev/dispatcher/internal/row"
)

// flushWithin is how long the end of Run waits for commits: longer than the store needs to give up by itself.
const flushWithin = 5 * time.Second

// batch is a commit that has ended.
type batch struct {
	rows      []row.Row
	committed []bool
	took      time.Duration
	err       error
}

// commit begins to commit what is proved, unless a commit is under way: then what is proved meanwhile waits, and goes together.
func (r *Reconciler) commit(ctx context.Context) {
	if r.committing || r.rest != nil {
		return
	}
	var rows []row.Row
	for name, known := range r.provable {
		rows = append(rows, known.Decided(r.pace.rows-len(rows))...)
		if len(rows) >= r.pace.rows {
			break // This node may have more.
		}
		delete(r.provable, name)
	}
	if len(rows) == 0 {
		return
	}
	r.committing = true
	began := r.now()
	go func() {
		committed, err := r.table.Commit(ctx, rows, r.confirm)
		r.committed <- batch{rows: rows, committed: committed, took: r.now().Sub(began), err: err}
	}()
}

// confirm says which rows may be committed still. What was handed over before it is asked has had its effect by then.
func (r *Reconciler) confirm(rows []row.Row) []bool {
	confirmed := make([]bool, len(rows))
	r.ask(func() {
		for i, one := range rows {
			known := r.ownerOf(one.Owner())
			confirmed[i] = known != nil && known.Confirm(one)
		}
	})

	return confirmed
}

// settle takes note of what became of a batch. What was not committed is read again, and must be proved again.
func (r *Reconciler) settle(done batch) {
	r.committing = false
	if done.err != nil {
		r.stats.FailedCommits++
		pause := r.pace.failed()
		r.rest = time.After(pause)
		r.log.Error("committing failed; these rows will be read and verified again", zap.Int("rows", len(done.rows)),
			zap.Duration("pause", pause), zap.Error(done.err))
	} else {
		r.pace.succeeded(done.took)
	}
	committed, revoked, overtaken := make(map[string][]int64), make(map[string][]int64), make(map[string][]int64)
	for i, one := range done.rows {
		name, success := one.Owner(), done.err == nil && done.committed[i]
		if known := r.ownerOf(name); known != nil {
			known.Settle(one, success)
		}
		switch {
		case success && one.Committed:
			r.stats.Revocations++
			revoked[name] = append(revoked[name], one.ID)
		case success:
			r.stats.Commits++
			committed[name] = append(committed[name], one.ID)
		default:
			overtaken[name] = append(overtaken[name], one.ID)
		}
	}
	for name, ids := range revoked {
		r.log.Warn("taken back: these rows stood at 1, and are not true on their node", zap.String("node", name), zap.Int64s("rows", ids))
	}
	for name, ids := range committed {
		r.log.Info("committed", zap.String("node", name), zap.Int64s("rows", ids))
	}
	for name, ids := range overtaken {
		if done.err == nil {
			r.stats.OvertakenRows += uint64(len(ids))
			r.log.Info("not committed: the rows have changed since they were read, or it took too long", zap.String("node", name), zap.Int64s("rows", ids))
		}
	}
	// Also what was committed: a flag that somebody has set back since leaves the table as the poll before the commit saw it,
	// and would never be noticed. Only what is read after this point is known to be newer than what was just settled.
	r.table.Reread(slices.Collect(maps.Keys(committed))...)
	r.table.Reread(slices.Collect(maps.Keys(revoked))...)
	r.table.Reread(slices.Collect(maps.Keys(overtaken))...)
}
