// Package kube gives tests a real Kubernetes: a control plane of its own programs, and nodes that are machines out of
// namespaces with their own containerd and kubelet.
//
// All of it runs in the suite's sandbox, so nothing is seen outside and nothing stays, whatever happens to the suite.
package kube

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"multinic.dev/lab/kube/authority"
	"multinic.dev/lab/program"
	"multinic.dev/testbed/node"
)

const (
	// loopback is where the control plane's own programs find each other. The sandbox's network is the suite's alone, so
	// every port is Kubernetes' usual one.
	loopback = "127.0.0.1"
	apiPort  = "6443"

	// controlAddress is the control plane on the wire to which nodes are connected, in a network for documentation (RFC 5737).
	controlAddress = "192.0.2.1"
	wirePrefix     = "/24"
	// serviceRange has the services' addresses, and firstService is the API server's own among them.
	serviceRange = "10.96.0.0/16"
	firstService = "10.96.0.1"
	// podRange is that of the addresses of the pods of the node with a number, out of those of all.
	podRange  = "10.244.%d.0/24"
	podRanges = "10.244.0.0/16"
	// clusterDomain ends the names of services.
	clusterDomain = "cluster.local"

	// Audience is whom service accounts' tokens are for unless somebody asks for another. It is also who signs them.
	Audience = "https://kubernetes.default.svc.cluster.local"
)

// Cluster is a control plane and its nodes. It ends with its test. There is one at a time in a suite, as its ports and
// addresses are always the same. Its methods belong to the test's goroutine.
type Cluster struct {
	// Authority signs its certificates and tokens.
	Authority *authority.Authority

	t      testing.TB
	folder string // the control plane's files
	wire   *node.Wire
	joined []*Node
	// processes are the control plane's programs, by their names.
	processes map[string]*program.Process
}

// Start starts a control plane, and returns when it answers. TestMain must call Main. A test that needs one of its own is
// skipped where the suite is held against a cluster that is there.
func Start(tb testing.TB) *Cluster {
	tb.Helper()
	if Given() {
		tb.Skipf("it needs a cluster of its own, and %s names one that is there", configEnv)
	}
	made, err := authority.New()
	if err != nil {
		tb.Fatalf("make the cluster's authority: %v", err)
	}
	c := &Cluster{Authority: made, t: tb, folder: tb.TempDir(), processes: map[string]*program.Process{}}
	c.connect()
	c.writeCredentials()
	c.startStore()
	c.startServer()
	c.startControllers()
	return c
}

// Config is how its administrator talks to the API server. The caller may change it.
func (c *Cluster) Config() *rest.Config {
	c.t.Helper()
	return c.ConfigOf("admin", "system:masters")
}

// ConfigOf is how a user with groups talks to the API server, by a certificate.
func (c *Cluster) ConfigOf(user string, groups ...string) *rest.Config {
	c.t.Helper()
	pair, err := c.Authority.Client(user, groups...)
	if err != nil {
		c.t.Fatalf("make a client's certificate: %v", err)
	}
	return &rest.Config{
		Host:            "https://" + loopback + ":" + apiPort,
		TLSClientConfig: rest.TLSClientConfig{CAData: c.Authority.Certificate(), CertData: pair.Certificate, KeyData: pair.Key},
		// A test asks in bursts, and its time is not the API server's concern.
		QPS: -1, Timeout: time.Minute,
	}
}

// Kubeconfig is the file by which other programs are its administrator.
func (c *Cluster) Kubeconfig() string { return c.path("admin.kubeconfig") }

// kubeconfig is the file by which a program is a user with groups, at an address of the API server.
func (c *Cluster) kubeconfig(address, user string, groups ...string) []byte {
	c.t.Helper()
	pair, err := c.Authority.Client(user, groups...)
	if err != nil {
		c.t.Fatalf("make a client's certificate: %v", err)
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["lab"] = &clientcmdapi.Cluster{Server: "https://" + net.JoinHostPort(address, apiPort), CertificateAuthorityData: c.Authority.Certificate()}
	config.AuthInfos[user] = &clientcmdapi.AuthInfo{ClientCertificateData: pair.Certificate, ClientKeyData: pair.Key}
	config.Contexts["lab"] = &clientcmdapi.Context{Cluster: "lab", AuthInfo: user}
	config.CurrentContext = "lab"
	text, err := clientcmd.Write(*config)
	if err != nil {
		c.t.Fatalf("write how %s talks to the API server: %v", user, err)
	}
	return text
}

// write puts a file into the control plane's folder.
func (c *Cluster) write(name string, content []byte) {
	c.t.Helper()
	if err := os.WriteFile(c.path(name), content, 0o600); err != nil {
		c.t.Fatalf("write a file of the control plane: %v", err)
	}
}

// path is that of a file of the control plane.
func (c *Cluster) path(name string) string { return filepath.Join(c.folder, name) }
