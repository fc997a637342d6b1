package monitor_test

import (
	"fmt"
	"strings"
	"testing"

	"multinic.dev/testbed/monitor"
	"multinic.dev/testbed/node"
)

func TestPlacesFollowAddressesFromLinkToLink(t *testing.T) {
	n := node.New(t, "node")
	m := monitor.Start(t, n) // It learns the names of links as they come.
	n.PlugIn("eth1", "02:00:00:00:00:01", nil)
	n.PlugIn("eth2", "02:00:00:00:00:02", nil)
	places := monitor.Places{}
	for _, step := range []struct {
		does []string
		want string
	}{
		{[]string{"add 192.0.2.1/24 dev eth1", "add 192.0.2.2/24 dev eth2"}, "[] map[192.0.2.1/24:[eth1] 192.0.2.2/24:[eth2]]"},
		{[]string{"del 192.0.2.1/24 dev eth1", "add 192.0.2.1/24 dev eth2"}, "[] map[192.0.2.1/24:[eth2] 192.0.2.2/24:[eth2]]"},
		{[]string{"add 192.0.2.1/24 dev eth1", "del 192.0.2.1/24 dev eth2"}, "[192.0.2.1/24] map[192.0.2.1/24:[eth1] 192.0.2.2/24:[eth2]]"},
		{[]string{"del 192.0.2.2/24 dev eth2"}, "[] map[192.0.2.1/24:[eth1] 192.0.2.2/24:[]]"},
	} {
		for _, change := range step.does {
			n.IP(append([]string{"address"}, strings.Fields(change)...)...)
		}
		if got := fmt.Sprint(places.Follow(m.Mark(t)), places); got != step.want {
			t.Errorf("after %v: %s, want %s", step.does, got, step.want)
		}
	}
}
