package host_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"multinic.dev/lab/giver"
	"multinic.dev/lab/pace"
	"multinic.dev/lab/program"
	"multinic.dev/testbed/container"
	"multinic.dev/testbed/debian"
	"multinic.dev/testbed/monitor"
	"multinic.dev/testbed/node"
)

// BenchmarkHost measures an executor on a host of each release, by each activation; see pace.Bench.
func BenchmarkHost(b *testing.B) {
	for _, release := range both() {
		b.Run(string(release)+" by kernel", func(b *testing.B) { benchmarkHost(b, release, false) })
		b.Run(string(release)+" by networkd", func(b *testing.B) { benchmarkHost(b, release, true) })
	}
}

func benchmarkHost(b *testing.B, release debian.Release, byManager bool) {
	b.Helper()
	host, wire := container.New(b, release, nodeName), node.NewWire(b, "wire")
	host.PlugIn("eth0", own, node.NewWire(b, "underlay"))
	host.PlugIn("other0", mac(99), wire)
	host.Write("/etc/netplan/50-cloud-init.yaml", 0o600, pace.NetplanOf("eth0", "192.0.2.5/24"))
	host.Write(pace.OtherFile, 0o600, pace.NetplanOf("other0", "10.9.0.10/24"))
	for card := range pace.Cards {
		host.PlugIn(fmt.Sprint("multinic", card), mac(card), wire)
	}
	activation := "kernel"
	if byManager {
		activation = "manager"
		letNetworkdBeTold(host)
	}
	host.Boot()
	host.Configured("eth0", "other0")
	g := giver.Start(b, filepath.Join(b.TempDir(), "socket"))
	executor, err := program.Start("executor", host.Command(context.Background(), programs.Executor, "--identity=insecure", "--dispatcher=unix:"+g.Socket,
		"--node-name="+nodeName, "--host-root="+host.Live(), "--state-dir="+host.Path("/var/lib/multinic")))
	if err != nil {
		b.Fatal(err)
	}
	pace.Bench{
		Host: host, Giver: g, MAC: mac, Other: "other0", Activation: activation, Rounds: 9, Stop: executor.Stop,
		Listen: func() *monitor.Monitor { return monitor.Start(b, host.Node) },
		Stat: func() string {
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", executor.PID()))
			if err != nil {
				b.Fatal(err)
			}

			return string(stat)
		},
	}.Measure(b)
}
