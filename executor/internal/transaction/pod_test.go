package transaction_test

import (
	"strings"
	"testing"

	"multinic.dev/executor/internal/transaction"
	"multinic.dev/testbed/node"
	"multinic.dev/testbed/oracle"
)

// TestTheParentOfAPodsMACVLANIsNotTaken has the macvlan in the pod's namespace, as CNI plugins put it there.
func TestTheParentOfAPodsMACVLANIsNotTaken(t *testing.T) {
	s := newStage(t, "parent")
	pod := node.New(t, "parentpod")
	s.node.IP("link", "set", "eth1", "up")
	s.node.AddMACVLAN("net1", "eth1", "bridge")
	s.node.IP("link", "set", "net1", "netns", pod.Name())
	take := func() (failures transaction.Failures) {
		s.with(func(_ *effects, tr *transaction.Transactor) {
			failures = tr.Make(t.Context(), transaction.Order{Items: itemsOf([]oracle.Row{{MAC: macA, Address: "198.51.100.10", Mask: "24"}})})
		})

		return failures
	}
	if failures := take(); len(failures) > 0 || !strings.Contains(s.node.IP("link"), ": eth1@") {
		t.Errorf("%v\n%s", failures, s.node.IP("link"))
	}
	pod.IP("link", "delete", "net1")
	if failures := take(); len(failures) > 0 || strings.Contains(s.node.IP("link"), ": eth1@") {
		t.Errorf("without it: %v\n%s", failures, s.node.IP("link"))
	}
}
