package kube

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"time"

	"multinic.dev/lab/kube/built"
	"multinic.dev/lab/program"
)

const (
	// startTimeout is how long a component may take to be ready on a machine that is busy. It takes seconds.
	startTimeout = 3 * time.Minute
	// readyInterval is how often a component is asked whether it is: it tells nobody by itself.
	readyInterval = 100 * time.Millisecond
	// logTail is how much of the log of a component is shown after a failure: its end, in bytes.
	logTail = 4000
)

// writeCredentials writes what the control plane's programs know each other by.
func (c *Cluster) writeCredentials() {
	c.t.Helper()
	a := c.Authority
	c.write("ca.crt", a.Certificate())
	for name, of := range map[string]func() ([]byte, error){"ca.key": a.Key, "tokens.key": a.TokenKey, "tokens.pub": a.TokenPublicKey} {
		text, err := of()
		if err != nil {
			c.t.Fatalf("%v", err)
		}
		c.write(name, text)
	}
	server, err := a.Server("control-plane", loopback, controlAddress, firstService, "localhost",
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
	if err != nil {
		c.t.Fatalf("%v", err)
	}
	c.write("server.crt", server.Certificate)
	c.write("server.key", server.Key)
	// The API server's own, for the kubelets' logs and their kin.
	client, err := a.Client("kube-apiserver-kubelet-client", "system:masters")
	if err != nil {
		c.t.Fatalf("%v", err)
	}
	c.write("client.crt", client.Certificate)
	c.write("client.key", client.Key)
	c.write("admin.kubeconfig", c.kubeconfig(loopback, "admin", "system:masters"))
	for _, user := range []string{"kube-controller-manager", "kube-scheduler"} {
		c.write(user+".kubeconfig", c.kubeconfig(loopback, "system:"+user))
	}
}

// startStore starts etcd. What it keeps is not worth a disk's time.
func (c *Cluster) startStore() {
	c.t.Helper()
	c.run("etcd", exec.CommandContext(context.Background(), "etcd",
		"--data-dir="+c.path("etcd"), "--name=lab",
		"--listen-client-urls=http://"+loopback+":2379", "--advertise-client-urls=http://"+loopback+":2379",
		"--listen-peer-urls=http://"+loopback+":2380", "--initial-advertise-peer-urls=http://"+loopback+":2380",
		"--initial-cluster=lab=http://"+loopback+":2380",
	), "http://"+loopback+":2379/health")
}

// startServer starts the API server, with the authorizers that clusters have.
func (c *Cluster) startServer() {
	c.t.Helper()
	c.component(built.APIServer, "https://"+loopback+":"+apiPort+"/readyz",
		"--etcd-servers=http://"+loopback+":2379",
		"--bind-address=0.0.0.0", "--secure-port="+apiPort, "--advertise-address="+controlAddress,
		"--tls-cert-file="+c.path("server.crt"), "--tls-private-key-file="+c.path("server.key"), "--client-ca-file="+c.path("ca.crt"),
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true",
		"--service-account-issuer="+Audience, "--service-account-signing-key-file="+c.path("tokens.key"), "--service-account-key-file="+c.path("tokens.pub"),
		"--service-cluster-ip-range="+serviceRange,
		"--kubelet-certificate-authority="+c.path("ca.crt"), "--kubelet-client-certificate="+c.path("client.crt"), "--kubelet-client-key="+c.path("client.key"),
		"--kubelet-preferred-address-types=InternalIP",
	)
}

// startControllers starts what makes objects come true. There is one of each, so none is elected.
func (c *Cluster) startControllers() {
	c.t.Helper()
	common := []string{
		"--bind-address=" + loopback, "--leader-elect=false", "--tls-cert-file=" + c.path("server.crt"), "--tls-private-key-file=" + c.path("server.key"),
	}
	access := func(component built.Component) []string {
		path := c.path(string(component) + ".kubeconfig")
		return []string{"--kubeconfig=" + path, "--authentication-kubeconfig=" + path, "--authorization-kubeconfig=" + path}
	}
	c.component(built.ControllerManager, "https://"+loopback+":10257/healthz", slices.Concat(common, access(built.ControllerManager), []string{
		"--use-service-account-credentials", "--service-account-private-key-file=" + c.path("tokens.key"), "--root-ca-file=" + c.path("ca.crt"),
		"--cluster-signing-cert-file=" + c.path("ca.crt"), "--cluster-signing-key-file=" + c.path("ca.key"), "--service-cluster-ip-range=" + serviceRange,
		// A node that is not heard of for so long is not ready. Kubernetes' own choice is more than twice as long.
		"--node-monitor-grace-period=20s", "--node-monitor-period=2s",
	})...)
	c.component(built.Scheduler, "https://"+loopback+":10259/healthz", slices.Concat(common, access(built.Scheduler))...)
}

// startNames starts CoreDNS where the nodes' pods ask for names. It is no pod of the cluster, so that it needs no image; what it says
// comes from the API server, as ever.
func (c *Cluster) startNames() {
	c.t.Helper()
	path, err := built.Names()
	if err != nil {
		c.t.Fatalf("%v", err)
	}
	c.write("names.kubeconfig", c.kubeconfig(loopback, "names", "system:masters"))
	c.write("Corefile", []byte(`.:53 {
  bind `+controlAddress+`
  errors
  ready `+loopback+`:8181
  kubernetes `+clusterDomain+` {
    kubeconfig `+c.path("names.kubeconfig")+`
  }
}
`))
	c.run("coredns", exec.CommandContext(context.Background(), path, "-conf="+c.path("Corefile")), "http://"+loopback+":8181/ready")
}

// component starts a component of the control plane, and waits until it is ready.
func (c *Cluster) component(name built.Component, ready string, arguments ...string) {
	c.t.Helper()
	path, err := built.Path()
	if err != nil {
		c.t.Fatalf("%v", err)
	}
	c.run(string(name), exec.CommandContext(context.Background(), path, append([]string{string(name)}, arguments...)...), ready)
}

// run starts a program that ends with the test, and waits until it says at a URL that it is ready.
func (c *Cluster) run(name string, cmd *exec.Cmd, ready string) {
	c.t.Helper()
	process := c.keep(name, cmd)
	if err := c.wait(process, ready); err != nil {
		c.t.Fatalf("%s is not ready: %v", name, err)
	}
}

// keep starts a program that ends with the test, and whose log is shown if that fails.
func (c *Cluster) keep(name string, cmd *exec.Cmd) *program.Process {
	c.t.Helper()
	process, err := program.Start(name, cmd)
	if err != nil {
		c.t.Fatalf("%v", err)
	}
	c.processes[name] = process
	c.t.Cleanup(func() {
		if c.t.Failed() {
			c.t.Logf("the last that %s said:\n%s", name, tail(process.Log()))
		}
		// Nothing that it has will be wanted again, so it need not end in good order.
		if err := process.Kill(); err != nil {
			c.t.Errorf("end %s: %v", name, err)
		}
	})
	return process
}

// Pause stops a component of the control plane in its tracks: it keeps its connections, and answers nothing until resume is called.
func (c *Cluster) Pause(component built.Component) (resume func()) {
	c.t.Helper()
	process := c.processes[string(component)]
	if process == nil {
		c.t.Fatalf("%s is no component of the control plane", component)
	}
	if err := process.Pause(); err != nil {
		c.t.Fatalf("%v", err)
	}
	return func() {
		if err := process.Resume(); err != nil {
			c.t.Errorf("%v", err)
		}
	}
}

// wait waits until a program answers well at a URL.
func (c *Cluster) wait(process *program.Process, url string) error {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(c.Authority.Certificate())
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.t.Context()), startTimeout)
	defer cancel()
	client := &http.Client{Transport: transport}
	for tick := time.NewTicker(readyInterval); ; {
		err := answers(ctx, client, url)
		if err == nil {
			tick.Stop()
			return nil
		}
		if !process.Running() {
			return fmt.Errorf("it has ended by itself: %w", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

func answers(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", answer.Status, text)
	}
	return err
}

// tail is the end of a log.
func tail(log string) string { return log[max(0, len(log)-logTail):] }
