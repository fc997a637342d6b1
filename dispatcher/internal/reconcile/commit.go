package reconcile

import (
	"context"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"multinic.dev/dispatcher/internal/row"
)

const (
	// batchRows is how many rows are committed in one transaction: enough to make the cost of a transaction small, few
	// enough that the table's writer waits for no lock for long.
	batchRows = 1000
	// flushWithin is how long the end of Run waits for commits: longer than the store needs to give up by itself.
	flushWithin = 5 * time.Second
)

// batch is a commit that has ended.
type batch struct {
	rows      []row.Row
	committed []bool
	err       error
}

// commit begins to commit what is proved, unless a commit is under way: then what is proved meanwhile waits, and goes together.
func (r *Reconciler) commit(ctx context.Context) {
	if r.committing || len(r.provable) == 0 {
		return
	}
	var rows []row.Row
	for name, known := range r.provable {
		if len(rows) >= batchRows {
			break
		}
		// All of it or nothing: what Proved returns must be settled.
		rows = append(rows, known.Proved()...)
		delete(r.provable, name)
	}
	if len(rows) == 0 {
		return
	}
	r.committing = true
	go func() {
		committed, err := r.table.Commit(ctx, rows)
		r.committed <- batch{rows: rows, committed: committed, err: err}
	}()
}

// settle takes note of what became of a batch. What was not committed is read again, and must be proved again.
func (r *Reconciler) settle(done batch) {
	r.committing = false
	if done.err != nil {
		r.stats.FailedCommits++
		r.log.Error("committing failed; these rows will be read and verified again", zap.Int("rows", len(done.rows)), zap.Error(done.err))
	}
	committed, overtaken := make(map[string][]int64), make(map[string][]int64)
	for i, one := range done.rows {
		name, success := one.Node.Text, done.err == nil && done.committed[i]
		if known, found := r.nodes[name]; found {
			known.Settle(one, success)
		}
		if success {
			r.stats.Commits++
			committed[name] = append(committed[name], one.ID)
		} else {
			overtaken[name] = append(overtaken[name], one.ID)
		}
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
	r.table.Reread(slices.Collect(maps.Keys(overtaken))...)
}
