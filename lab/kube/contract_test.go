package kube_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"multinic.dev/lab/kube"
)

const (
	// contract is the dispatcher's own test of what it relies on, which its other tests hold against a fake; contractEnv tells it
	// of a real cluster.
	contract    = "TestARealAPIServerKeepsTheContract"
	contractEnv = "MULTINIC_TEST_KUBECONFIG"
)

// TestTheDispatchersContractHolds runs the dispatcher's contract against a real API server: so what its tests' fake says is what a
// cluster says.
func TestTheDispatchersContractHolds(t *testing.T) {
	cluster := kube.Take(t)
	program := filepath.Join(t.TempDir(), "identity.test")
	room := filepath.Join("..", "..", "dispatcher", "internal", "identity")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-trimpath", "-o", program, ".")
	build.Dir, build.Env = room, append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the dispatcher's contract: %v: %s", err, out)
	}
	run := exec.CommandContext(t.Context(), program, "-test.run=^"+contract+"$", "-test.v")
	run.Dir, run.Env = room, append(os.Environ(), contractEnv+"="+cluster.Kubeconfig)
	out, err := run.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+contract+" ") {
		t.Errorf("the contract does not hold: %v: %s", err, out)
	}
}
