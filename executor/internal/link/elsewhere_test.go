package link_test

import (
	"fmt"
	"strings"
	"testing"

	"multinic.dev/testbed/node"
)

// TestWhatStandsOnALinkIsFoundInOtherNamespaces moves macvlans into pods, as CNI plugins do, beside pods with the usual veth pairs.
func TestWhatStandsOnALinkIsFoundInOtherNamespaces(t *testing.T) {
	n := node.New(t, "node")
	n.PlugIn("eth1", mac0, nil)
	n.PlugIn("eth2", mac1, nil)
	for i := range 3 {
		n.AddPod(fmt.Sprint("pod", i), fmt.Sprintf("10.244.0.%d/32", i+1))
	}
	e := newExecutor(t, n)
	look := func() string {
		t.Helper()
		found := map[int][]string{}
		if err := n.Do(func() (err error) { found, err = e.kernel.Elsewhere(t.Context()); return err }); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(found)
	}
	if got := look(); got != "map[]" {
		t.Errorf("with pods alone: %s", got)
	}
	n.AddMACVLAN("net1", "eth1", "bridge")
	if got := look(); got != "map[]" {
		t.Errorf("with a macvlan here: %s", got)
	}
	n.IP("link", "set", "net1", "netns", "pod1")
	index, _, _ := strings.Cut(n.IP("-o", "link", "show", "eth1"), ":")
	if got, want := look(), fmt.Sprintf("map[%s:[net1]]", index); got != want {
		t.Errorf("with a macvlan in a pod: %s, want %s", got, want)
	}
	// One whose namespace nothing else of the node's is in.
	alone := node.New(t, "alone")
	n.AddMACVLAN("net2", "eth1", "bridge")
	n.IP("link", "set", "net2", "netns", alone.Name())
	if got, want := look(), fmt.Sprintf("map[%s:[net1 net2]]", index); got != want {
		t.Errorf("with another in a namespace of its own: %s, want %s", got, want)
	}
}

// TestWhatStandsOnLinksOfAnotherNamespaceIsNoneOfOurs has a namespace that has a number here, and knows nothing of this one.
func TestWhatStandsOnLinksOfAnotherNamespaceIsNoneOfOurs(t *testing.T) {
	n, other := node.New(t, "node"), node.New(t, "other")
	n.IP("link", "add", "passing", "type", "veth", "peer", "name", "pair")
	n.IP("link", "set", "passing", "netns", other.Name())
	n.IP("link", "set", "pair", "netns", other.Name())
	other.AddMACVLAN("inner", "passing", "bridge")
	e := newExecutor(t, n)
	found := map[int][]string{}
	if err := n.Do(func() (err error) { found, err = e.kernel.Elsewhere(t.Context()); return err }); err != nil {
		t.Fatal(err)
	}
	if len(found) > 0 {
		t.Errorf("on links of ours stand %v", found)
	}
}
