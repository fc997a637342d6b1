package server

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/time/rate"
)

// Why the door closes connections.
const (
	// ofAddress: there were too many strangers of one address. ofAll: all places were taken. ofTime: it was a stranger's for too long.
	ofAddress = "address"
	ofAll     = "places"
	ofTime    = "time"
)

// counts say what the door did, in numbers and in the log.
type counts struct {
	log         *zap.Logger
	connections *prometheus.Desc
	closed      *prometheus.CounterVec
}

// saying is what was logged of one reason.
type saying struct {
	loud *rate.Limiter
	// unlogged is how often there was this reason since it was last logged.
	unlogged int
}

var _ prometheus.Collector = &Door{}

func newCounts(log *zap.Logger) counts {
	counted := counts{
		log: log,
		connections: prometheus.NewDesc("multinic_dispatcher_connections",
			"Connections by TCP: proved (of executors and operators), or stranger (nothing was let in on them but calls for health).", []string{"of"}, nil),
		closed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "multinic_dispatcher_connections_closed_total",
			Help: "Strangers' connections that were closed: too many of one address, all places taken, or nothing proved in time.",
		}, []string{"reason"}),
	}
	for _, reason := range []string{ofAddress, ofAll, ofTime} {
		counted.closed.WithLabelValues(reason)
	}

	return counted
}

// Describe is that of prometheus.Collector.
func (d *Door) Describe(out chan<- *prometheus.Desc) {
	out <- d.connections
	d.closed.Describe(out)
}

// Collect is that of prometheus.Collector.
func (d *Door) Collect(out chan<- prometheus.Metric) {
	d.mu.Lock()
	strangers := 0
	for _, some := range d.strangers {
		strangers += len(some)
	}
	proved := d.open - strangers
	d.mu.Unlock()
	out <- prometheus.MustNewConstMetric(d.connections, prometheus.GaugeValue, float64(proved), "proved")
	out <- prometheus.MustNewConstMetric(d.connections, prometheus.GaugeValue, float64(strangers), "stranger")
	d.closed.Collect(out)
}

// refuse counts that a stranger's connection was closed for want of a place, and logs it unless that was logged within a minute. Call it with mu
// held.
func (d *Door) refuse(reason, network string, atOnce int) {
	d.closed.WithLabelValues(reason).Inc()
	said := d.said[reason]
	if said == nil {
		said = &saying{loud: rate.NewLimiter(rate.Every(time.Minute), 1)}
		d.said[reason] = said
	}
	if !said.loud.Allow() {
		said.unlogged++

		return
	}
	message := "a connection was closed: too many from its address have not proved who they are"
	if reason == ofAll {
		message = "a connection was closed: all places are taken, and it had not proved who it is"
	}
	d.log.Warn(message, zap.String("address", network), zap.Int("at_once", atOnce), zap.Int("strangers_of_address", len(d.strangers[network])),
		zap.Int("not_logged_before", said.unlogged))
	said.unlogged = 0
}
