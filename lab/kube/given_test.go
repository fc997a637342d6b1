package kube_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"multinic.dev/lab/kube"
)

// TestTheSuiteCanBeHeldAgainstAClusterThatIsThere runs tests of this suite once more, as somebody with a KUBECONFIG does: that
// which any cluster can be held to passes there, and one that needs its own is skipped.
func TestTheSuiteCanBeHeldAgainstAClusterThatIsThere(t *testing.T) {
	cluster := kube.Take(t, "node-a", "node-b")
	if kube.Given() {
		t.Skip("it is held against one that is there already")
	}
	const everywhere, own = "TestAPodsOwnTokenSaysWhichNodeItIsOn", "TestARoleOnAMethodsPathIsARightToCallIt"
	run := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.v", "-test.run=^("+everywhere+"|"+own+")$")
	run.Env = append(os.Environ(), "KUBECONFIG="+cluster.Kubeconfig, "KUBE_IMAGE="+cluster.Image)
	out, err := run.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+everywhere+" ") || !strings.Contains(string(out), "--- SKIP: "+own+" ") {
		t.Errorf("the suite, held against a cluster that is there: %v: %s", err, out)
	}
}
