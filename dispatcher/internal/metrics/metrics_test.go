package metrics_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"multinic.dev/dispatcher/internal/metrics"
	"multinic.dev/dispatcher/internal/reconcile"
)

// source has numbers that are all different.
type source struct{ err error }

func (s source) Stats() (reconcile.Stats, error) {
	return reconcile.Stats{
		Nodes: 1, Sessions: 2, CommittedRows: 3, PendingRows: 4, RefusedRows: 5, Polls: 6, FailedPolls: 7, WorkSets: 8, Reports: 9, ReplacedSessions: 10,
		Commits: 11, OvertakenRows: 12, FailedCommits: 13, Revocations: 14, Removals: 15, Changes: 16, Guarded: 17,
	}, s.err
}

func TestEachNumberHasItsName(t *testing.T) {
	want := `
# HELP multinic_dispatcher_disturbances_total Removals and changes of working interfaces that were let through.
# TYPE multinic_dispatcher_disturbances_total counter
multinic_dispatcher_disturbances_total{kind="change"} 16
multinic_dispatcher_disturbances_total{kind="removal"} 15
# HELP multinic_dispatcher_failed_commits_total Batches of rows that the database did not take.
# TYPE multinic_dispatcher_failed_commits_total counter
multinic_dispatcher_failed_commits_total 13
# HELP multinic_dispatcher_guard_held Removals and changes of working interfaces that the guard holds until an operator releases them.
# TYPE multinic_dispatcher_guard_held gauge
multinic_dispatcher_guard_held 17
# HELP multinic_dispatcher_nodes Nodes that the table names or that have a session.
# TYPE multinic_dispatcher_nodes gauge
multinic_dispatcher_nodes 1
# HELP multinic_dispatcher_polls_total Looks at the table, by whether they succeeded.
# TYPE multinic_dispatcher_polls_total counter
multinic_dispatcher_polls_total{result="failed"} 7
multinic_dispatcher_polls_total{result="ok"} 6
# HELP multinic_dispatcher_reports_total Reports of nodes taken over.
# TYPE multinic_dispatcher_reports_total counter
multinic_dispatcher_reports_total 9
# HELP multinic_dispatcher_rows Rows of the table: committed, pending (part of a node's work, not committed yet), or refused (not part of it).
# TYPE multinic_dispatcher_rows gauge
multinic_dispatcher_rows{state="committed"} 3
multinic_dispatcher_rows{state="pending"} 4
multinic_dispatcher_rows{state="refused"} 5
# HELP multinic_dispatcher_rows_proved_total Rows whose node proved them, or the contrary, by what became of it: committed, revoked, or overtaken by a change of the row.
# TYPE multinic_dispatcher_rows_proved_total counter
multinic_dispatcher_rows_proved_total{result="committed"} 11
multinic_dispatcher_rows_proved_total{result="overtaken"} 12
multinic_dispatcher_rows_proved_total{result="revoked"} 14
# HELP multinic_dispatcher_sessions Nodes that have a session.
# TYPE multinic_dispatcher_sessions gauge
multinic_dispatcher_sessions 2
# HELP multinic_dispatcher_sessions_replaced_total Sessions that a second one of the same node replaced.
# TYPE multinic_dispatcher_sessions_replaced_total counter
multinic_dispatcher_sessions_replaced_total 10
# HELP multinic_dispatcher_work_sets_total Pictures made for nodes.
# TYPE multinic_dispatcher_work_sets_total counter
multinic_dispatcher_work_sets_total 8
`
	if err := testutil.CollectAndCompare(metrics.New(source{}), strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

func TestAfterTheEndThereAreNoNumbersRatherThanWrongOnes(t *testing.T) {
	if _, err := testutil.CollectAndLint(metrics.New(source{err: reconcile.ErrStopped})); err == nil {
		t.Error("numbers of a reconciler that has stopped")
	}
}
