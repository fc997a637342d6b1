package identity

import (
	"crypto/tls"
	"math"

	"github.com/prometheus/client_golang/prometheus"
)

// Expiry is a metric: when the certificate ends by which the dispatcher proves who it is, in seconds since 1970; without one, as with
// "insecure", that is never, which is +Inf. It is that of the files as they are now, which are read for it. Safe concurrently.
func Expiry(who Identity) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "multinic_dispatcher_certificate_expiry_timestamp_seconds",
		Help: "When the dispatcher's certificate ends, in seconds since 1970; +Inf without one.",
	}, func() float64 {
		if own, has := who.(interface{ certificate() *tls.Certificate }); has {
			return float64(own.certificate().Leaf.NotAfter.Unix())
		}

		return math.Inf(1)
	})
}

func (m *MTLS) certificate() *tls.Certificate { return m.pair.get() }

func (k *Kubernetes) certificate() *tls.Certificate { return k.pair.get() }
