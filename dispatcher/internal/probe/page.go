package probe

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
)

// gathersAtOnce is how many pages of metrics may be in the making at once. One takes a millisecond or so.
const gathersAtOnce = 4

// page answers with the metrics. Who asks waits for a turn, and loses it with the connection: of many who ask at once, those whose connections
// were closed for newer ones cost no page. A turn ends before the answer is written, so that nobody keeps it by reading slowly.
func page(metrics prometheus.Gatherer) http.HandlerFunc {
	turns := make(chan struct{}, gathersAtOnce)

	return func(w http.ResponseWriter, r *http.Request) {
		promhttp.HandlerFor(prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
			select {
			case turns <- struct{}{}:
				defer func() { <-turns }()
			case <-r.Context().Done():
			}
			if err := r.Context().Err(); err != nil {
				return nil, err //nolint:wrapcheck // nobody is there to read it
			}

			return metrics.Gather()
		}), promhttp.HandlerOpts{}).ServeHTTP(w, r)
	}
}
