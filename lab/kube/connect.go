package kube

import (
	"context"
	"os/exec"
	"strings"

	"multinic.dev/testbed/node"
)

// connect makes the wire between the control plane and the nodes, and gives the sandbox's own network, in which the control
// plane and the test are, an address on it.
func (c *Cluster) connect() {
	c.t.Helper()
	c.wire = node.NewWire(c.t, "cluster")
	// The sandbox's first process is in its network.
	c.wire.IP("link", "add", "control", "type", "veth", "peer", "name", "kube0", "netns", "1")
	// The kernel takes a namespace that nobody has any more away when it likes to; the next cluster has a link of this name at once.
	c.t.Cleanup(func() { c.ip("link", "delete", "kube0") })
	c.wire.IP("link", "set", "control", "master", "br0", "up")
	c.ip("address", "add", controlAddress+wirePrefix, "dev", "kube0")
	c.ip("link", "set", "kube0", "up")
}

// ip runs `ip` in the sandbox's own network.
func (c *Cluster) ip(arguments ...string) {
	c.t.Helper()
	if out, err := exec.CommandContext(context.WithoutCancel(c.t.Context()), "ip", arguments...).CombinedOutput(); err != nil {
		c.t.Fatalf("ip %s: %v: %s", strings.Join(arguments, " "), err, out)
	}
}
