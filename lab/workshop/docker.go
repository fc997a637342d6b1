package workshop

import (
	"context"
	"strings"
	"time"

	"multinic.dev/lab/program"
)

const (
	// dockerPatience is how long dockerd may take to answer, and to end.
	dockerPatience = 2 * time.Minute
	// dockerInterval is how often it is asked whether it answers.
	dockerInterval = 200 * time.Millisecond
)

// StartDocker starts dockerd, which answers when it returns. It makes no rules of a firewall; its bridge is in the sandbox's network,
// and it ends with the workshop.
func (w *Workshop) StartDocker() {
	w.t.Helper()
	process, err := program.Start("dockerd", w.Command(context.Background(), nil, "dockerd",
		"--iptables=false", "--ip6tables=false", "--ip-masq=false", "--userland-proxy=false",
		"--exec-opt=native.cgroupdriver=cgroupfs", "--cgroup-parent="+w.stock.Group, "--log-level=warn"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.docker = process
	late := time.NewTimer(dockerPatience)
	defer late.Stop()
	tick := time.NewTicker(dockerInterval)
	defer tick.Stop()
	for {
		if _, code := w.Run(nil, "docker", "version"); code == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-late.C:
			w.t.Fatalf("dockerd does not answer:\n%s", process.Log())
		}
		if !process.Running() {
			w.t.Fatalf("dockerd has ended by itself:\n%s", process.Log())
		}
	}
}

// stopDocker ends dockerd, if it runs, and with it all that it has started.
func (w *Workshop) stopDocker() {
	if w.docker == nil || !w.docker.Running() {
		return
	}
	if err := w.docker.Stop(); err != nil {
		w.t.Errorf("%v:\n%s", err, w.docker.Log())
	}
}

// said is what dockerd has said, if it was started.
func (w *Workshop) said() string {
	if w.docker == nil {
		return ""
	}

	return "dockerd has said:\n" + strings.TrimSpace(w.docker.Log()) + "\n"
}
