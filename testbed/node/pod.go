package node

import (
	"net/netip"
	"strings"
)

// podGateway is the next hop of every pod: no host has it, the node's end of the pair answers for it by proxy ARP, as
// routed pod networks do it.
const podGateway = "169.254.1.1"

// AddPod gives the node a pod with an address, such as "10.244.0.5/32": a namespace behind a veth pair, with a route
// of its own in the node's main table.
func (n *Node) AddPod(name, cidr string) *Host {
	n.t.Helper()
	pod := &Host{Namespace: newNamespace(n.t, name), Device: "eth0"}
	device := "pod-" + name
	n.IP("link", "add", device, "type", "veth", "peer", "name", pod.Device, "netns", name)
	n.Set("net/ipv4/conf/"+device+"/proxy_arp", "1")
	n.Set("net/ipv4/neigh/"+device+"/proxy_delay", "0")
	n.Set("net/ipv4/ip_forward", "1")
	pod.IP("address", "add", cidr, "dev", pod.Device)
	pod.IP("link", "set", pod.Device, "up")
	n.BringUp(device)
	pod.IP("route", "add", podGateway, "dev", pod.Device, "scope", "link")
	pod.IP("route", "add", "default", "via", podGateway, "dev", pod.Device)
	n.IP("route", "add", host(cidr), "dev", device, "scope", "link")
	return pod
}

// host is the address of "192.0.2.10/24".
func host(cidr string) string {
	address, _, _ := strings.Cut(cidr, "/")
	return address
}

// subnet is the network of "192.0.2.10/24": "192.0.2.0/24".
func subnet(t TB, cidr string) string {
	t.Helper()
	prefix, err := netip.ParsePrefix(cidr)
	if err != nil {
		t.Fatalf("an address with its prefix length: %v", err)
	}
	return prefix.Masked().String()
}
