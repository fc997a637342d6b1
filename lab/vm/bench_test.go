package vm_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"multinic.dev/lab/giver"
	"multinic.dev/lab/pace"
	"multinic.dev/testbed/debian"
	"multinic.dev/testbed/monitor"
	"multinic.dev/testbed/node"
	"multinic.dev/testbed/vm"
)

// BenchmarkHost measures an executor on a virtual machine of each release, by each activation; see pace.Bench. All in it is some twenty times as
// slow as on a machine, but for what is waited for, such as the question on the wire: of what is measured, the ratios count.
func BenchmarkHost(b *testing.B) {
	for _, release := range []debian.Release{debian.Bookworm, debian.Trixie} {
		b.Run(string(release)+" by kernel", func(b *testing.B) { benchmarkHost(b, release, false) })
		b.Run(string(release)+" by networkd", func(b *testing.B) { benchmarkHost(b, release, true) })
	}
}

func benchmarkHost(b *testing.B, release debian.Release, byManager bool) {
	b.Helper()
	const program, socket = "/usr/local/bin/multinic-executor", "/run/multinic/dispatcher.sock"
	machine, wire := vm.New(b, release, nodeName), node.NewWire(b, "wire")
	g := giver.Start(b, filepath.Join(b.TempDir(), "socket"))
	machine.PlugIn(own, node.NewWire(b, "underlay"))
	machine.Start()
	machine.Put(executor, program)
	machine.Forward(socket, g.Socket)
	other := machine.PlugIn(mac(99), wire).Link()
	machine.Write("/etc/netplan/50-cloud-init.yaml", 0o600, pace.NetplanOf("eth0", "192.0.2.5/24"))
	machine.Write(pace.OtherFile, 0o600, pace.NetplanOf(other, "10.9.0.10/24"))
	machine.MustRun("netplan", "apply")
	activation := "kernel"
	if byManager {
		activation = "manager"
		machine.Write("/etc/systemd/networkd.conf.d/foreign.conf", 0o644, inForeignPeace)
		machine.MustRun("systemctl", "restart", networkd)
	}
	machine.Configured("eth0", other)
	for card := range pace.Cards {
		machine.PlugIn(mac(card), wire).Link()
	}
	running := machine.Spawn(program, "--identity=insecure", "--dispatcher=unix:"+socket, "--node-name="+nodeName, "--state-dir=/var/lib/multinic")
	pace.Bench{
		Host: machine, Giver: g, MAC: mac, Other: other, Activation: activation, Rounds: 3,
		Listen: func() *monitor.Monitor { return monitor.StartIn(b, machine, listener) },
		Stat:   func() string { return machine.MustRun("sh", "-c", "cat /proc/$(pidof multinic-executor)/stat") },
		Stop: func() error {
			code, err := running.Stop()
			if err == nil && code != 0 {
				err = errors.New(fmt.Sprint("the executor ended with code ", code))
			}

			return err
		},
	}.Measure(b)
}
