package kube

import (
	"context"
	"fmt"
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

	cluster *Cluster
	pods    string // the range of its pods' addresses
}

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
	n := &Node{
		Address: fmt.Sprintf("192.0.2.%d", 10+number),
		cluster: c, pods: fmt.Sprintf(podRange, number),
	}
	kernel := node.New(c.t, name)
	kernel.Underlay("eth0", fmt.Sprintf("02:00:5e:10:00:%02x", number), n.Address+wirePrefix, controlAddress, 0, c.wire)
	kernel.Set("net/ipv4/ip_forward", "1")
	components, err := built.Path()
	if err != nil {
		c.t.Fatalf("%v", err)
	}
	n.Machine = machine.Start(c.t, kernel, machine.Disk{
		Name: name, Files: n.files(name), Settings: settings(),
		Programs: map[string]string{componentsPath: components, imagePath: c.image()},
	})
	c.ip("route", "add", n.pods, "via", n.Address)
	c.eachOther(n)
	n.Serve("containerd", "containerd", "--config="+containerdConfig)
	n.importImage()
	n.Serve("kubelet", componentsPath, string(built.Kubelet),
		"--config="+kubeletConfig, "--kubeconfig="+kubeletAccess, "--hostname-override="+name, "--node-ip="+n.Address)
	return n
}

// eachOther lets the pods of a new node and those of the others reach each other: there is one wire, and a route is all.
func (c *Cluster) eachOther(n *Node) {
	c.t.Helper()
	for _, other := range c.joined {
		n.IP("route", "add", other.pods, "via", other.Address)
		other.IP("route", "add", n.pods, "via", n.Address)
	}
	c.joined = append(c.joined, n)
}

// importImage gives containerd the lab's image, once it answers.
func (n *Node) importImage() {
	n.cluster.t.Helper()
	ctx, cancel := context.WithTimeout(n.cluster.t.Context(), startTimeout)
	defer cancel()
	for tick := time.NewTicker(readyInterval); ; {
		out, err := n.Command(ctx, "ctr", "--namespace=k8s.io", "images", "import", imagePath).CombinedOutput()
		if err == nil {
			tick.Stop()
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			n.cluster.t.Fatalf("give containerd on %s the image: %v: %s", n.Name(), err, out)
		}
	}
}
