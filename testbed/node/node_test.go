package node_test

import (
	"strings"
	"testing"

	"multinic.dev/testbed/node"
	"multinic.dev/testbed/uml"
)

func TestMain(m *testing.M) { uml.Main(m) }

func TestACardIsBareUntilSomebodyConfiguresItAndVanishesWhenUnplugged(t *testing.T) {
	n := node.New(t, "node")
	nic := n.PlugIn("eth1", "02:00:00:00:00:01", nil)
	if got := n.IP("-o", "link", "show", "eth1"); !strings.Contains(got, "link/ether 02:00:00:00:00:01") || strings.Contains(got, ",UP") {
		t.Errorf("the card is not as it was asked for: %s", got)
	}
	if got := n.IP("address", "show", "dev", "eth1"); strings.Contains(got, "inet") {
		t.Errorf("the card has an address: %s", got)
	}
	n.IP("link", "set", "eth1", "name", "other")
	nic.Unplug()
	if got, err := n.TryIP("link", "show", "other"); err == nil {
		t.Errorf("the card is still there: %s", got)
	}
}

func TestNodesAndHostsOnAWireReachEachOther(t *testing.T) {
	w := node.NewWire(t, "wire")
	gateway := w.AddHost("gateway", "192.0.2.1/24")
	n := node.New(t, "node")
	n.Underlay("eth0", "02:00:00:00:00:10", "192.0.2.10/24", "192.0.2.1", 100, w)
	for _, ping := range []struct {
		from *node.Namespace
		to   string
	}{{n.Namespace, "192.0.2.1"}, {gateway.Namespace, "192.0.2.10"}} {
		if out, err := ping.from.Command(t.Context(), "ping", "-c1", "-W5", ping.to).CombinedOutput(); err != nil {
			t.Errorf("%s does not reach %s: %v\n%s", ping.from.Name(), ping.to, err, out)
		}
	}
	if got := n.IP("route", "get", "203.0.113.1"); !strings.Contains(got, "via 192.0.2.1 dev eth0 src 192.0.2.10") {
		t.Errorf("the default route is %s", got)
	}
}

func TestAPodReachesItsNodeAndBeyond(t *testing.T) {
	w := node.NewWire(t, "wire")
	gateway := w.AddHost("gateway", "192.0.2.1/24")
	gateway.IP("route", "add", "10.244.0.5", "via", "192.0.2.10")
	n := node.New(t, "node")
	n.Underlay("eth0", "02:00:00:00:00:10", "192.0.2.10/24", "192.0.2.1", 100, w)
	pod := n.AddPod("pod", "10.244.0.5/32")
	for _, to := range []string{"192.0.2.10", "192.0.2.1"} {
		if out, err := pod.Command(t.Context(), "ping", "-c1", "-W5", to).CombinedOutput(); err != nil {
			t.Errorf("the pod does not reach %s: %v\n%s", to, err, out)
		}
	}
}

func TestNothingOfAnUnderlayAPodOrALinkThatIsUpIsStillToCome(t *testing.T) {
	n := node.New(t, "node")
	n.PlugIn("eth1", "02:00:00:00:00:11", nil)
	n.IP("link", "set", "eth1", "up")
	n.Underlay("eth0", "02:00:00:00:00:10", "192.0.2.10/24", "192.0.2.1", 100, nil)
	n.AddPod("pod", "10.244.0.5/32")
	for _, link := range []string{"eth1", "eth0", "pod-pod"} {
		got := n.IP("-o", "address", "show", "dev", link, "scope", "link")
		if !strings.Contains(got, "inet6 fe80::") || strings.Contains(got, "tentative") {
			t.Errorf("%s has not settled: %q", link, got)
		}
	}
}

func TestAnUnderlayIsMadeWhereIPv6IsOff(t *testing.T) {
	n := node.New(t, "node")
	n.Set("net/ipv6/conf/default/disable_ipv6", "1")
	n.Underlay("eth0", "02:00:00:00:00:10", "192.0.2.10/24", "192.0.2.1", 100, nil)
	if got := n.IP("-o", "address", "show", "dev", "eth0"); !strings.Contains(got, "inet 192.0.2.10/24") || strings.Contains(got, "inet6") {
		t.Errorf("addresses: %s", got)
	}
}
