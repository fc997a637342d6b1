package hostile_test

import (
	"strings"
	"testing"

	"multinic.dev/lab/fleet"
	"multinic.dev/testbed/node"
)

// TestALinkWhoseNameIsNoTextHarmsNobody is about the one text of a report that nobody of ours has chosen: the kernel lets a
// link be named almost anything.
func TestALinkWhoseNameIsNoTextHarmsNobody(t *testing.T) {
	for what, name := range map[string]string{"no UTF-8": "e\xff", "a terminal's": "e\x1b[31m\x7f", "quotes": "e\"'`$(x)"} {
		t.Run(what, func(t *testing.T) {
			f := fleet.New(t, fleet.Settings{Programs: programs})
			n := f.AddNode(nodeName)
			wire := node.NewWire(t, "wire")
			n.PlugIn(name, mac(1), wire)
			n.IP("address", "add", "198.51.100.10/24", "dev", name)
			n.PlugIn("ens0", mac(0), wire)
			f.Insert(fleet.Row{Node: nodeName, MAC: mac(0), Address: "10.1.0.10", Mask: "24"}, fleet.Row{Node: nodeName, MAC: mac(1)})
			f.StartDispatcher()
			n.StartExecutor()
			f.AwaitFlags("1 0")
			said := f.AwaitResult(nodeName, mac(1), "REFUSED LINK_IN_USE: e")
			if strings.ContainsFunc(said, func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Errorf("the reason is not of one line of text: %q", said)
			}
		})
	}
}
