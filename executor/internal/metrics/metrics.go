// Package metrics counts for Prometheus what an executor does.
package metrics

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"multinic.dev/executor/internal/work"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

// Metrics is the numbers. Safe for concurrent use.
type Metrics struct {
	results    *prometheus.GaugeVec
	applies    *prometheus.CounterVec
	duration   prometheus.Histogram
	connected  prometheus.Gauge
	reconnects prometheus.Counter
}

// The buckets of the duration: an interface takes some milliseconds, ten of them some tens, and a kernel under load seconds.
const (
	firstBucket  = 0.001
	bucketFactor = 2
	buckets      = 14
)

// states are what the label of results can be, by the protocol's state.
func states() map[multinicv1.State]string {
	return map[multinicv1.State]string{
		multinicv1.State_STATE_READY: "ready", multinicv1.State_STATE_WAITING_FOR_LINK: "waiting_for_link", multinicv1.State_STATE_FAILED: "failed",
		multinicv1.State_STATE_REFUSED: "refused", multinicv1.State_STATE_UNSUPPORTED: "unsupported",
	}
}

// New returns numbers that are all 0, registered.
func New(registry prometheus.Registerer) (*Metrics, error) {
	const namespace, subsystem = "multinic", "executor"
	m := &Metrics{
		results: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "results", Help: "Interfaces in the newest report, by their state.",
		}, []string{"state"}),
		applies: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "applies_total",
			Help: "Interfaces that were changed, by whether the kernel then was as asked for (ready) or not (failed).",
		}, []string{"outcome"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "apply_duration_seconds",
			Help:    "Time from the first change of a round, which takes all interfaces that need one, to the end of its last look at the kernel.",
			Buckets: prometheus.ExponentialBuckets(firstBucket, bucketFactor, buckets),
		}),
		connected: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "session_connected", Help: "Whether there is a session with the dispatcher.",
		}),
		reconnects: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "reconnects_total", Help: "Attempts to open a session after the first one.",
		}),
	}
	for _, state := range states() {
		m.results.WithLabelValues(state).Set(0)
	}
	for _, ready := range []bool{true, false} {
		m.applies.WithLabelValues(outcome(ready)).Add(0)
	}
	for _, each := range []prometheus.Collector{m.results, m.applies, m.duration, m.connected, m.reconnects} {
		if err := registry.Register(each); err != nil {
			return nil, fmt.Errorf("register a metric: %w", err)
		}
	}

	return m, nil
}

func outcome(ready bool) string {
	if ready {
		return "ready"
	}

	return "failed"
}

// Reported says what the newest report is.
func (m *Metrics) Reported(report work.Report) {
	count := map[multinicv1.State]int{}
	for _, result := range report.Results {
		count[result.State()]++
	}
	for state, name := range states() {
		m.results.WithLabelValues(name).Set(float64(count[state]))
	}
}

// Applied says how the changes of one interface ended.
func (m *Metrics) Applied(ready bool) { m.applies.WithLabelValues(outcome(ready)).Inc() }

// Activated says how long the changes of a round took, with their proof.
func (m *Metrics) Activated(took time.Duration) { m.duration.Observe(took.Seconds()) }

// Connected says whether there is a session now.
func (m *Metrics) Connected(yes bool) {
	m.connected.Set(0)
	if yes {
		m.connected.Set(1)
	}
}

// Reconnecting says that an attempt to open a session begins that is not the first one.
func (m *Metrics) Reconnecting() { m.reconnects.Inc() }
