package identity_test

import (
	"math"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"

	"multinic.dev/dispatcher/internal/identity"
	"multinic.dev/testbed/authority"
)

func TestTheMetricSaysWhenTheCertificateEnds(t *testing.T) {
	servers, files := authority.New(t, "servers"), authority.NewVolume(t, t.TempDir())
	put := func(end time.Time) {
		own := servers.Issue(authority.Leaf{CommonName: "dispatcher", Hosts: []string{"127.0.0.1"}, NotAfter: end})
		files.Put(map[string][]byte{"cert": own.Certificate, "key": own.Key, "ca": servers.PEM})
	}
	first, second := time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
	put(first)
	mtls, err := identity.NewMTLS(identity.MTLSFiles{Certificate: files.Path("cert"), Key: files.Path("key"), ClientCA: files.Path("ca")}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	kubernetes, err := identity.NewKubernetes(identity.KubernetesSettings{
		Certificate: files.Path("cert"), Key: files.Path("key"), Audience: "multinic-dispatcher", Executors: "multinic/executor",
	}, nil, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	says := func(want time.Time) {
		t.Helper()
		for name, who := range map[string]identity.Identity{"mtls": mtls, "kubernetes": kubernetes} {
			if got := testutil.ToFloat64(identity.Expiry(who)); got != float64(want.Unix()) {
				t.Errorf("%s: %v, want %v", name, got, want.Unix())
			}
		}
	}
	says(first)
	put(second)
	says(second)
	if got := testutil.ToFloat64(identity.Expiry(identity.Insecure{})); !math.IsInf(got, 1) {
		t.Errorf("without a certificate: %v", got)
	}
}
