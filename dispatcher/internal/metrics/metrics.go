// Package metrics words what the reconciler counts for Prometheus.
package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"multinic.dev/dispatcher/internal/reconcile"
)

// Source is where the numbers come from, at each scrape.
type Source interface {
	// Stats returns the numbers, or an error when there are none any more.
	Stats() (reconcile.Stats, error)
}

// collector asks the source at each scrape, so that no number is kept in two places.
type collector struct {
	source Source

	nodes, sessions, rows, polls, workSets, reports, replaced, proved, failed, guarded, disturbed *prometheus.Desc
}

var _ prometheus.Collector = &collector{}

// New returns a collector of the source's numbers. Safe concurrently.
func New(source Source) prometheus.Collector {
	describe := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("multinic_dispatcher_"+name, help, labels, nil)
	}

	return &collector{
		source:   source,
		nodes:    describe("nodes", "Nodes that the table names or that have a session."),
		sessions: describe("sessions", "Nodes that have a session."),
		rows: describe("rows", "Rows of the table: committed, pending (part of a node's work, not committed yet), or refused (not part of it).",
			"state"),
		polls:    describe("polls_total", "Looks at the table, by whether they succeeded.", "result"),
		workSets: describe("work_sets_total", "Pictures made for nodes."),
		reports:  describe("reports_total", "Reports of nodes taken over."),
		replaced: describe("sessions_replaced_total", "Sessions that a second one of the same node replaced."),
		proved: describe("rows_proved_total",
			"Rows whose node proved them, or the contrary, by what became of it: committed, revoked, or overtaken by a change of the row.", "result"),
		failed:    describe("failed_commits_total", "Batches of rows that the database did not take."),
		guarded:   describe("guard_held", "Removals and changes of working interfaces that the guard holds until an operator releases them."),
		disturbed: describe("disturbances_total", "Removals and changes of working interfaces that were let through.", "kind"),
	}
}

// Describe tells Prometheus what there is.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, one := range []*prometheus.Desc{
		c.nodes, c.sessions, c.rows, c.polls, c.workSets, c.reports, c.replaced, c.proved, c.failed, c.guarded, c.disturbed,
	} {
		out <- one
	}
}

// Collect asks for the numbers.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	stats, err := c.source.Stats()
	if err != nil {
		out <- prometheus.NewInvalidMetric(c.nodes, err)

		return
	}
	gauge := func(of *prometheus.Desc, value int, labels ...string) {
		out <- prometheus.MustNewConstMetric(of, prometheus.GaugeValue, float64(value), labels...)
	}
	counter := func(of *prometheus.Desc, value uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(of, prometheus.CounterValue, float64(value), labels...)
	}
	gauge(c.nodes, stats.Nodes)
	gauge(c.sessions, stats.Sessions)
	gauge(c.rows, stats.CommittedRows, "committed")
	gauge(c.rows, stats.PendingRows, "pending")
	gauge(c.rows, stats.RefusedRows, "refused")
	counter(c.polls, stats.Polls, "ok")
	counter(c.polls, stats.FailedPolls, "failed")
	counter(c.workSets, stats.WorkSets)
	counter(c.reports, stats.Reports)
	counter(c.replaced, stats.ReplacedSessions)
	counter(c.proved, stats.Commits, "committed")
	counter(c.proved, stats.Revocations, "revoked")
	counter(c.proved, stats.OvertakenRows, "overtaken")
	counter(c.failed, stats.FailedCommits)
	gauge(c.guarded, stats.Guarded)
	counter(c.disturbed, stats.Removals, "removal")
	counter(c.disturbed, stats.Changes, "change")
}
