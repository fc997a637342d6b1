package kube

import (
	"context"
	"fmt"
	"os"
	"time"

	"multinic.dev/lab/kube/built"
	"multinic.dev/lab/kube/machine"
	"multinic.dev/testbed/node"
)

// Node is a machine of a cluster, with its own containerd and kubelet. Its links are those of the Machine's network.
type Node struct {
	*machine.Machine

	// Address is what the cluster knows it by.
	Address string
	// Card is what connects it to the cluster.
	Card *node.NIC

	cluster *Cluster
	pods    string // the range of its pods' addresses
}

// wireLink is the name of a node's link to the cluster.
const wireLink = "eth0"

// settings are the values on which kubelet insists (KernelTunableError). They are the whole machine's, so the node sees
// them, and the kernel keeps its own.
func settings() map[string]string {
	return map[string]string{
		"vm/overcommit_memory": "1", "vm/panic_on_oom": "0", "kernel/panic": "10", "kernel/panic_on_oops": "1",
		"kernel/keys/root_maxkeys": "1000000", "kernel/keys/root_maxbytes": "25000000",
	}
}

// AddNode starts a machine that joins the cluster under a name, which must be unique in the sandbox. It may not be ready yet
// when it returns: WaitForNodes waits for that. It needs root of the machine, and the test is skipped without.
func (c *Cluster) AddNode(name string) *Node {
	c.t.Helper()
	number := len(c.joined) + 1
	if number == 1 {
		c.startNames()
	}
	n := &Node{
		Address: fmt.Sprintf("192.0.2.%d", 10+number),
		cluster: c, pods: fmt.Sprintf(podRange, number),
	}
	kernel := node.New(c.t, name)
	n.Card = kernel.PlugIn(wireLink, fmt.Sprintf("02:00:5e:10:00:%02x", number), c.wire)
	components, err := built.Path()
	if err != nil {
		c.t.Fatalf("%v", err)
	}
	n.Machine = machine.Start(c.t, kernel, machine.Disk{
		Name: name, Files: n.files(name), Settings: settings(),
		Programs: map[string]string{componentsPath: components},
		Kept:     []string{"/var/lib", "/var/log"},
	})
	c.joined = append(c.joined, n)
	c.ip("route", "add", n.pods, "via", n.Address)
	n.connect()
	n.serveContainers()
	n.Import(c.image())
	n.serve()
	return n
}

// Restart switches the node off and on again. What its disk has below /var is as it was; it may not be ready when this returns.
func (n *Node) Restart() {
	n.cluster.t.Helper()
	n.Machine.Restart()
	n.connect()
	n.serveContainers()
	n.serve()
}

// connect gives the node its address, and the routes by which its pods and those of the other nodes reach each other: there is one wire,
// and a route is all.
func (n *Node) connect() {
	n.cluster.t.Helper()
	n.Set("net/ipv4/ip_forward", "1")
	n.IP("address", "add", n.Address+wirePrefix, "dev", wireLink)
	n.BringUp(wireLink)
	n.IP("route", "add", "default", "via", controlAddress)
	for _, other := range n.cluster.joined {
		if other != n {
			n.IP("route", "replace", other.pods, "via", other.Address)
			other.IP("route", "replace", n.pods, "via", n.Address)
		}
	}
}

func (n *Node) serveContainers() {
	n.cluster.t.Helper()
	n.Serve("containerd", "containerd", "--config="+containerdConfig)
}

// serve starts the cluster's own programs.
func (n *Node) serve() {
	n.cluster.t.Helper()
	n.Serve("kubelet", componentsPath, string(built.Kubelet),
		"--config="+kubeletConfig, "--kubeconfig="+kubeletAccess, "--hostname-override="+n.Name(), "--node-ip="+n.Address)
	n.Serve("kube-proxy", componentsPath, string(built.Proxy), "--config="+proxyConfig)
}

// Import gives containerd the image of an archive of the machine outside, once it answers.
func (n *Node) Import(archive string) {
	n.cluster.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(n.cluster.t.Context()), startTimeout)
	defer cancel()
	for tick := time.NewTicker(readyInterval); ; {
		out, err := n.importOnce(ctx, archive)
		if err == nil {
			tick.Stop()
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			n.cluster.t.Fatalf("give containerd on %s an image: %v: %s", n.Name(), err, out)
		}
	}
}

func (n *Node) importOnce(ctx context.Context, archive string) ([]byte, error) {
	file, err := os.Open(archive)
	if err != nil {
		return nil, fmt.Errorf("open an image: %w", err)
	}
	defer func() { _ = file.Close() }()
	cmd := n.Command(ctx, "ctr", "--namespace=k8s.io", "images", "import", "-")
	cmd.Stdin = file
	return cmd.CombinedOutput()
}
