package vm_test

import (
	"os"
	"strings"
	"testing"

	"multinic.dev/lab/fleet"
	"multinic.dev/testbed/debian"
	"multinic.dev/testbed/monitor"
	"multinic.dev/testbed/node"
	"multinic.dev/testbed/oracle"
	"multinic.dev/testbed/vm"
)

// host is a stage whose machine differs from others in how its own network is.
type host struct {
	*stage

	wire *node.Wire
	// byManager says that networkd is told of changes, for which it is set up.
	byManager bool
}

// setup is how a host is set up.
type setup struct {
	release debian.Release
	// byManager has networkd told of changes.
	byManager bool
	// byDHCP has the host's own address and its default route come by DHCP.
	byDHCP bool
	// cards is how many cards there are besides the host's own.
	cards int
}

// inForeignPeace has networkd leave alone what is not its own, so that it may be told of changes.
const inForeignPeace = "[Network]\nManageForeignRoutes=no\nManageForeignRoutingPolicyRules=no\nManageForeignNextHops=no\n"

// onBothByBoth runs a test on both releases, with both activations: each release with one of them, and with MULTINIC_TEST_VM=all with
// both. Containers are tested with all four (lab/host). Each runs beside others, as a guest has one processor.
func onBothByBoth(t *testing.T, of setup, test func(t *testing.T, h *host)) {
	t.Helper()
	for _, release := range []debian.Release{debian.Bookworm, debian.Trixie} {
		for _, byManager := range []bool{false, true} {
			if byManager != (release == debian.Bookworm) && !all() {
				continue
			}
			name := string(release)
			if byManager {
				name += " by networkd"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				of := of
				of.release, of.byManager = release, byManager
				test(t, newHost(t, of))
			})
		}
	}
}

// all says whether all that there is of a test is to be run.
func all() bool { return os.Getenv("MULTINIC_TEST_VM") == "all" }

// newHost starts a machine, and a fleet for it that is still without rows and an executor.
func newHost(t *testing.T, of setup) *host {
	t.Helper()
	machine := vm.New(t, of.release, nodeName)
	h := &host{
		stage:     &stage{T: t, fleet: fleet.New(t, fleet.Settings{Programs: programs, Patience: patience})},
		byManager: of.byManager,
	}
	h.underlay, h.wire = node.NewWire(t, h.name("underlay")), node.NewWire(t, h.name("wire"))
	gateway := h.underlay.AddHost(h.name("gateway"), "192.0.2.1/24")
	machine.PlugIn(own, h.underlay)
	machine.Start()
	if of.byManager {
		machine.Write("/etc/systemd/networkd.conf.d/foreign.conf", 0o644, inForeignPeace)
	}
	own := "addresses: [192.0.2.5/24]\n      routes: [{to: default, via: 192.0.2.1}]"
	if of.byDHCP {
		gateway.ServeDHCP("192.0.2.5", "192.0.2.5")
		own = "dhcp4: true"
	}
	machine.Write("/etc/netplan/50-cloud-init.yaml", 0o600, `network:
  version: 2
  ethernets:
    eth0:
      accept-ra: false
      `+own+"\n")
	machine.MustRun("netplan", "apply")
	if of.byManager {
		machine.MustRun("systemctl", "restart", networkd) // It has read all files then, as after a boot.
	}
	machine.Configured("eth0")
	for card := range of.cards {
		nic := machine.PlugIn(mac(card), h.wire)
		nic.Link()
		h.cards = append(h.cards, nic)
	}
	h.node = h.fleet.AddVM(machine, executor)
	h.startDispatcher()

	return h
}

const networkd = "systemd-networkd.service"

// wantActivated says that the last changes were made live as the host is for.
func (h *host) wantActivated(when string) {
	h.Helper()
	want := "kernel"
	if h.byManager {
		want = "manager"
	}
	if got := h.fleet.View(nodeName).GetFacts().GetActivation(); got != want {
		h.Errorf("%s: made live by %q, want %q: %s", when, got, want, h.why())
	}
}

// why is what the executor says of why it did not tell networkd, the last time that it did not.
func (h *host) why() string {
	h.Helper()
	last := ""
	for line := range strings.Lines(h.node.Executor.Log()) {
		if strings.Contains(line, "network manager") {
			last = line
		}
	}

	return last
}

// right says that the kernel is what rows say, whoever of the executor and networkd has made it so.
func (h *host) right(when string, expect oracle.Expect, rows ...fleet.Row) {
	h.Helper()
	expect.ByManager = true
	h.stage.right(when, expect, rows...)
}

// listen is a monitor of the guest, which has told all that there was to tell before.
func (h *host) listen() *monitor.Monitor {
	h.Helper()
	m := monitor.StartIn(h.T, h.node.VM, listener)
	m.Mark(h.T)

	return m
}

// restart has a new executor, which remembers nothing of what it has repaired, say of all rows that they are true.
func (h *host) restart() {
	h.Helper()
	if code, err := h.node.Executor.Stop(); err != nil || code != 0 {
		h.Fatalf("the executor ended with code %d, error %v", code, err)
	}
	h.node.StartExecutor()
	h.fleet.SQL("UPDATE multi_interface SET netplan_success = 0")
}

// journal is there while a transaction is under way.
const journal = "/var/lib/multinic/journal.json"

// still has the executor stand still outside of any transaction while something looks at the host: a card that is just being tried again is
// not what it was.
func (h *host) still(look func()) {
	h.Helper()
	const stop = "kill -STOP $(pidof multinic-executor); test ! -e " + journal + " || { kill -CONT $(pidof multinic-executor); exit 1; }"
	h.fleet.Until(func() bool { _, code := h.node.Run("sh", "-c", stop); return code == 0 }, func() string { return "the executor is always in a transaction" })
	look()
	h.node.MustRun("sh", "-c", "kill -CONT $(pidof multinic-executor)")
}

// said counts how often the executor has said something of the interfaces of a MAC.
func (h *host) said(event, mac string) int {
	h.Helper()

	return said(h.node.Executor.Log(), event, mac)
}

func said(log, event, mac string) int {
	count := 0
	for line := range strings.Lines(log) {
		if strings.Contains(line, `"`+event+`"`) && strings.Contains(line, mac) {
			count++
		}
	}

	return count
}

// generator is where the release has netplan's generator.
func (h *host) generator() string {
	h.Helper()
	if _, code := h.node.Run("test", "-e", "/usr/libexec/netplan/generate"); code == 0 {
		return "/usr/libexec/netplan/generate"
	}

	return "/usr/lib/netplan/generate"
}

// What the executor says when it begins to change an interface, and when that has ended.
const (
	begun    = "apply started"
	finished = "apply finished"
)
