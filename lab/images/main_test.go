// Package images_test holds both images, as docker, nerdctl, podman and buildah build and deliver them, to what is promised of them.
package images_test

import (
	"os"
	"testing"

	"multinic.dev/lab/workshop"
	"multinic.dev/testbed/sandbox"
)

// wanted is set where the tests that build images are wanted: the first run takes some minutes, and each of them a processor.
const wanted = "MULTINIC_TEST_IMAGES"

func TestMain(m *testing.M) {
	var outside []sandbox.Fixture
	if os.Getenv(wanted) != "" {
		outside = append(outside, workshop.Fixture("../../dispatcher", "../../executor"))
	}
	sandbox.MainWith(m, outside)
}
