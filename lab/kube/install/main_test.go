// Package install_test holds the Helm chart to what is promised of an installation, in a cluster: a real control plane, nodes with their own
// containerd and kubelet, a MariaDB of its own, and cards on wires.
//
// There is one cluster, and the parts of the one test follow each other on it. Network policies are not enforced there, as there is no
// plugin that does it: what they say is tested where the chart is rendered (lab/chart). The nodes have no Netplan, so executors have the
// backend netlink: what they do to hosts that have it is tested on such (lab/host, lab/vm).
package install_test

import (
	"testing"

	"multinic.dev/lab/kube"
)

func TestMain(m *testing.M) { kube.Main(m, images) }

// TestInstallation is all that is held against one cluster.
func TestInstallation(t *testing.T) {
	s := prepare(t)
	for _, part := range []struct {
		name string
		test func(*site)
	}{
		{"serves every node within a minute", (*site).servesEveryNode},
		{"a second one is refused", (*site).refusesASecondOne},
		{"no credential on a node", (*site).noCredentialOnANode},
		{"operators ask by port-forward", (*site).operatorsAskByPortForward},
		{"the API server is paused", (*site).apiServerPaused},
		{"there are two dispatchers at once", (*site).twoDispatchersAtOnce},
		{"the dispatcher's node is cut off", (*site).dispatchersNodeCutOff},
		{"it is upgraded and rolled back", (*site).upgradedAndRolledBack},
		{"the dispatcher's node is drained", (*site).dispatchersNodeDrained},
		{"a node is restarted", (*site).nodeRestarted},
		{"a node is added", (*site).nodeAdded},
		{"an executor is ended in the middle of an apply", (*site).executorEndedInTheMiddleOfAnApply},
		{"certificates and tokens rotate", (*site).certificatesAndTokensRotate},
		{"it is uninstalled", (*site).uninstalled},
	} {
		// Each goes on with what those before have left.
		if !t.Run(part.name, func(t *testing.T) { part.test(s.in(t)) }) {
			return
		}
	}
}
