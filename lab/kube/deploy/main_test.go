// Package deploy_test holds deploy/simple-deploy.sh to what is promised of it, against a cluster: with each builder from nothing to an
// installation, and again, which changes nothing.
package deploy_test

import (
	"testing"

	"multinic.dev/lab/kube"
	"multinic.dev/lab/workshop"
	"multinic.dev/testbed/sandbox"
)

func TestMain(m *testing.M) {
	kube.MainWith(m, []sandbox.Fixture{workshop.Fixture("../../../dispatcher", "../../../executor")})
}
