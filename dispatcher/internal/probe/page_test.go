package probe_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"multinic.dev/dispatcher/internal/probe"
)

func TestFourPagesOfMetricsAreMadeAtOnceAndNoneForWhoHasGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun, end := make(chan struct{}, 1000), make(chan struct{})
		server := probe.NewServer(&reconciler{}, prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
			begun <- struct{}{}
			<-end

			return nil, nil
		}))
		var asking sync.WaitGroup
		get := func(ctx context.Context) {
			asking.Go(func() {
				server.Handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/metrics", nil))
			})
		}
		gone, leave := context.WithCancel(t.Context())
		for range 4 {
			get(t.Context())
		}
		synctest.Wait()
		for range 500 {
			get(gone)
		}
		get(t.Context())
		synctest.Wait()
		if len(begun) != 4 {
			t.Errorf("%d are made at once", len(begun))
		}
		leave()
		close(end)
		asking.Wait()
		if len(begun) != 5 {
			t.Errorf("%d were made in all", len(begun))
		}
	})
}
