package metrics_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"multinic.dev/executor/internal/metrics"
	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/work"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

// scrape is all numbers as Prometheus reads them, without help, types and the histogram's buckets.
func scrape(t *testing.T, registry *prometheus.Registry) string {
	t.Helper()
	recorder := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	var lines []string
	for line := range strings.Lines(recorder.Body.String()) {
		if !strings.HasPrefix(line, "#") && !strings.Contains(line, "_bucket{") {
			lines = append(lines, line)
		}
	}

	return strings.Join(lines, "")
}

func TestWhatHappensIsCounted(t *testing.T) {
	registry := prometheus.NewRegistry()
	m, err := metrics.New(registry)
	if err != nil {
		t.Fatal(err)
	}
	want := `multinic_executor_applies_total{outcome="failed"} 0
multinic_executor_applies_total{outcome="ready"} 0
multinic_executor_apply_duration_seconds_sum 0
multinic_executor_apply_duration_seconds_count 0
multinic_executor_reconnects_total 0
multinic_executor_results{state="failed"} 0
multinic_executor_results{state="ready"} 0
multinic_executor_results{state="refused"} 0
multinic_executor_results{state="unsupported"} 0
multinic_executor_results{state="waiting_for_link"} 0
multinic_executor_session_connected 0
`
	if got := scrape(t, registry); got != want {
		t.Errorf("at first:\n%s\nwant:\n%s", got, want)
	}

	failed := work.Result{Key: plan.Key{MAC: "02:00:00:00:00:0a"}, Problem: work.Problem{State: multinicv1.State_STATE_FAILED}}
	m.Reported(work.Report{Results: []work.Result{failed, failed, {}}})
	m.Reported(work.Report{Results: []work.Result{failed, {}, {}}})
	m.Applied(true)
	m.Applied(true)
	m.Applied(false)
	m.Activated(1500 * time.Millisecond)
	m.Connected(true)
	m.Reconnecting()
	want = `multinic_executor_applies_total{outcome="failed"} 1
multinic_executor_applies_total{outcome="ready"} 2
multinic_executor_apply_duration_seconds_sum 1.5
multinic_executor_apply_duration_seconds_count 1
multinic_executor_reconnects_total 1
multinic_executor_results{state="failed"} 1
multinic_executor_results{state="ready"} 2
multinic_executor_results{state="refused"} 0
multinic_executor_results{state="unsupported"} 0
multinic_executor_results{state="waiting_for_link"} 0
multinic_executor_session_connected 1
`
	if got := scrape(t, registry); got != want {
		t.Errorf("then:\n%s\nwant:\n%s", got, want)
	}
	m.Connected(false)
	if got := scrape(t, registry); !strings.Contains(got, "multinic_executor_session_connected 0\n") {
		t.Errorf("after the session:\n%s", got)
	}
	if _, err := metrics.New(registry); err == nil {
		t.Error("the same numbers were registered twice")
	}
}
