package workshop

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"multinic.dev/lab/program"
)

const (
	// servePatience is how long a program may take to answer.
	servePatience = 2 * time.Minute
	// serveInterval is how often it is asked whether it answers.
	serveInterval = 200 * time.Millisecond
)

const (
	// RegistryPort is where the registry of StartRegistry listens, on each address of the suite's.
	RegistryPort = "5000"
	// Registry is where builders reach it. Images that are pushed there have its name before their own.
	Registry = "127.0.0.1:" + RegistryPort
)

// StartDocker starts dockerd, which answers when it returns. It makes no rules of a firewall; its bridge is in the sandbox's network,
// and it ends with the workshop.
func (w *Workshop) StartDocker() {
	w.t.Helper()
	w.serve(w.answers("docker", "version"), "dockerd",
		"--iptables=false", "--ip6tables=false", "--ip-masq=false", "--userland-proxy=false",
		"--exec-opt=native.cgroupdriver=cgroupfs", "--cgroup-parent="+w.stock.Group, "--log-level=warn")
}

// served is a program that was started and stays.
type served struct {
	*program.Process

	// sudden says that there is no good order in which it ends: asked to, it ends as if by a signal, or with an error.
	sudden bool
}

// StartContainerd starts containerd, such as a node has, where it listens by itself. It answers when this returns, and ends with the workshop.
func (w *Workshop) StartContainerd() {
	w.t.Helper()
	w.serve(w.answers("ctr", "version"), "containerd", "--log-level=warn")
}

// StartBuildKit starts buildkitd for the containerd of StartContainerd, as deploy/setup-buildkit.sh does where there is no systemd. It answers
// when this returns, and ends with the workshop.
func (w *Workshop) StartBuildKit() {
	w.t.Helper()
	// What runs in its containers is in the suite's control group.
	w.Write("/etc/buildkit/buildkitd.toml", "[worker.containerd]\ndefaultCgroupParent = \""+w.stock.Group+"\"\n")
	setUp := Source + "/deploy/setup-buildkit.sh"
	w.serve(w.answers(setUp, "--check"), setUp, "--run")
	w.served[len(w.served)-1].sudden = true
}

// StartRegistry starts a registry, without TLS, which all builders know to be so. It answers when this returns, and ends with the workshop.
func (w *Workshop) StartRegistry() {
	w.t.Helper()
	w.Write("/etc/registry.yml", "version: 0.1\nlog: {level: warn}\n"+
		"storage: {filesystem: {rootdirectory: /var/lib/registry}}\nhttp: {addr: ':"+RegistryPort+"'}\n")
	w.Write("/etc/containers/registries.conf.d/lab.conf", "[[registry]]\nlocation = \""+Registry+"\"\ninsecure = true\n")
	w.serve(func() bool {
		request, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, "http://"+Registry+"/v2/", nil)
		if err != nil {
			return false
		}
		request.Close = true
		answer, err := http.DefaultClient.Do(request)

		return err == nil && answer.Body.Close() == nil && answer.StatusCode == http.StatusOK
	}, "docker-registry", "serve", "/etc/registry.yml")
	w.served[len(w.served)-1].sudden = true
}

// answers asks a program by a command of its own.
func (w *Workshop) answers(name string, arguments ...string) func() bool {
	return func() bool {
		_, code := w.Run(nil, name, arguments...)

		return code == 0
	}
}

// serve starts a program that stays, and returns when it is ready.
func (w *Workshop) serve(ready func() bool, name string, arguments ...string) {
	w.t.Helper()
	process, err := program.Start(name, w.Command(context.Background(), nil, name, arguments...))
	if err != nil {
		w.t.Fatal(err)
	}
	w.served = append(w.served, served{Process: process})
	late := time.NewTimer(servePatience)
	defer late.Stop()
	tick := time.NewTicker(serveInterval)
	defer tick.Stop()
	for !ready() {
		select {
		case <-tick.C:
		case <-late.C:
			w.t.Fatalf("%s does not answer:\n%s", name, process.Log())
		}
		if !process.Running() {
			w.t.Fatalf("%s has ended by itself:\n%s", name, process.Log())
		}
	}
}

// stop ends what was started and still runs, the last first, and with it all that it has started.
func (w *Workshop) stop() {
	for _, process := range slices.Backward(w.served) {
		end := process.Stop
		if process.sudden {
			end = process.Kill
		}
		if !process.Running() {
			continue
		}
		if err := end(); err != nil {
			w.t.Errorf("%v:\n%s", err, process.Log())
		}
	}
}

// said is what the programs that were started have said.
func (w *Workshop) said() string {
	var all strings.Builder
	for _, process := range w.served {
		_, _ = fmt.Fprintf(&all, "one of what was started has said:\n%s\n", strings.TrimSpace(process.Log()))
	}

	return all.String()
}
