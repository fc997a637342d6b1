package host_test

import (
	"fmt"
	"strings"
	"testing"

	"multinic.dev/lab/fleet"
	"multinic.dev/testbed/container"
	"multinic.dev/testbed/debian"
	"multinic.dev/testbed/monitor"
	"multinic.dev/testbed/node"
	"multinic.dev/testbed/oracle"
)

// both are the releases of Debian whose Netplan is tested: 0.106 with systemd 252, and 1.1 with systemd 257.
func both() []debian.Release { return []debian.Release{debian.Bookworm, debian.Trixie} }

// onBoth runs a test on both releases, with the kernel changed by the executor itself, as where networkd is as it comes.
func onBoth(t *testing.T, test func(t *testing.T, s *stage)) {
	t.Helper()
	for _, release := range both() {
		t.Run(string(release), func(t *testing.T) { test(t, newStage(t, release)) })
	}
}

// onBothByBoth runs a test on both releases, with both activations: the other is by networkd, which is set up so that it may be told.
func onBothByBoth(t *testing.T, test func(t *testing.T, s *stage)) {
	t.Helper()
	onBoth(t, test)
	for _, release := range both() {
		t.Run(string(release)+" by networkd", func(t *testing.T) { test(t, newStageBy(t, release, true)) })
	}
}

const (
	nodeName = "node-1"
	own      = "02:00:5e:10:00:01" // eth0, by which the node is reached
)

func mac(card int) string { return fmt.Sprintf("02:00:5e:10:01:%02x", card) }

// stage is a fleet with one host.
type stage struct {
	*testing.T

	fleet *fleet.Fleet
	host  *container.Container
	node  *fleet.Node
	wire  *node.Wire
	cards []*node.NIC
	// byManager says that networkd is told of changes.
	byManager bool
}

// newStage is newStageBy with a networkd as it comes.
func newStage(t *testing.T, release debian.Release) *stage {
	t.Helper()

	return newStageBy(t, release, false)
}

// newStageBy boots a host with a network of its own, by Netplan, and with cards that would be called as multinic calls them: a veth has
// no permanent address by which udev could name it.
func newStageBy(t *testing.T, release debian.Release, byManager bool) *stage {
	t.Helper()
	// The host first: it must outlive the executor, which has files of it open.
	s := &stage{T: t, host: container.New(t, release, nodeName), wire: node.NewWire(t, "wire"), byManager: byManager}
	if byManager {
		letNetworkdBeTold(s.host)
	}
	// The dispatcher's socket is on the host's disk, for an executor that runs in the host.
	s.fleet = fleet.New(t, fleet.Settings{Programs: programs, Dir: s.host.Path(sockets), Prepare: "ALTER TABLE multi_interface ADD COLUMN mtu INT"})
	underlay := node.NewWire(t, "underlay")
	underlay.AddHost("gateway", "192.0.2.1/24")
	s.host.PlugIn("eth0", own, underlay)
	s.host.Write("/etc/netplan/50-cloud-init.yaml", 0o600, `network:
  version: 2
  ethernets:
    eth0:
      accept-ra: false
      addresses: [192.0.2.5/24]
      routes: [{to: default, via: 192.0.2.1}]
`)
	for card := range 2 {
		s.cards = append(s.cards, s.host.PlugIn(fmt.Sprint("multinic", card), mac(card), s.wire))
	}
	s.boot()
	s.node = s.fleet.AddHost(s.host)
	s.fleet.StartDispatcher("--removal-hold-down=0s", "--guard-share=100%")

	return s
}

// letNetworkdBeTold sets a host's networkd up, before it is booted, so that its reload touches nothing of others.
func letNetworkdBeTold(host *container.Container) {
	host.Write("/etc/systemd/networkd.conf.d/foreign.conf", 0o644,
		"[Network]\nManageForeignRoutes=no\nManageForeignRoutingPolicyRules=no\nManageForeignNextHops=no\n")
}

// boot boots the host, and returns once its own network is there.
func (s *stage) boot() {
	s.Helper()
	s.host.Boot()
	s.host.Configured("eth0")
}

// activated says by what the node's last changes were made live.
func (s *stage) activated() string { return s.fleet.View(nodeName).GetFacts().GetActivation() }

// wantActivated says that the last changes were made live as the stage is for.
func (s *stage) wantActivated(when string) {
	s.Helper()
	want := "kernel"
	if s.byManager {
		want = "manager"
	}
	if got := s.activated(); got != want {
		s.Errorf("%s: made live by %q, want %q", when, got, want)
	}
}

// rows are two of the node's.
func rows() []fleet.Row {
	return []fleet.Row{
		{Node: nodeName, MAC: mac(0), Address: "10.1.0.10", Mask: "24", Gateway: "10.1.0.1", MTU: 1400},
		{Node: nodeName, MAC: mac(1), Address: "10.2.0.10", Mask: "255.255.255.0"},
	}
}

// right says that the kernel is what rows say.
func (s *stage) right(expect oracle.Expect, rows ...fleet.Row) {
	s.Helper()
	expect.ByManager = expect.ByManager || s.byManager
	if wrong := s.node.Judge(expect, rows...); wrong != "" {
		s.Errorf("the kernel:\n%s", wrong)
	}
}

// TestRowsBecomeTheHostsOwnFiles and the next boot makes of them what they ask for, without the executor; and a row that goes leaves
// nothing.
func TestRowsBecomeTheHostsOwnFiles(t *testing.T) {
	onBothByBoth(t, func(t *testing.T, s *stage) {
		t.Helper()
		before := s.host.Files("/etc")
		m := monitor.Start(t, s.node.Node)
		s.fleet.Insert(rows()...)
		s.node.StartExecutor()
		s.fleet.AwaitAll()
		s.wantActivated("first apply")
		s.right(oracle.Expect{}, rows()...)
		for _, event := range m.Mark(t) {
			if event.Link == "eth0" {
				t.Errorf("eth0 was disturbed: %v", event)
			}
		}
		after := s.host.Files("/etc")
		for line := range strings.Lines(before) {
			if !strings.Contains(after, line) {
				t.Errorf("a file of the host's own has changed: %s", line)
			}
		}
		if !strings.Contains(after, "/etc/netplan/90-multinic0.yaml") || !strings.Contains(after, "/etc/netplan/91-multinic1.yaml") {
			t.Errorf("the files are\n%s", after)
		}

		// Without the executor.
		if err := s.node.Executor.Kill(); err != nil {
			t.Fatal(err)
		}
		s.host.Kill()
		s.boot()
		s.host.Configured("multinic0", "multinic1")
		s.right(oracle.Expect{ByManager: true}, rows()...)

		// And with it again, nothing is disturbed.
		m = monitor.Start(t, s.node.Node)
		s.node.StartExecutor()
		s.fleet.SQL("UPDATE multi_interface SET netplan_success = 0")
		s.fleet.AwaitAll()
		if events := m.Mark(t); len(events) > 0 {
			t.Errorf("what was right already was disturbed: %v", events)
		}

		s.fleet.SQL("DELETE FROM multi_interface WHERE mac_address = '" + mac(1) + "'")
		s.fleet.Until(func() bool { return len(s.fleet.View(nodeName).GetInterfaces()) == 1 }, func() string { return s.fleet.View(nodeName).String() })
		s.fleet.SQL("DELETE FROM multi_interface")
		s.fleet.Until(func() bool { return len(s.fleet.View(nodeName).GetInterfaces()) == 0 }, func() string { return s.fleet.View(nodeName).String() })
		if left := s.host.Files("/etc"); left != before {
			t.Errorf("/etc was\n%s\nand is\n%s", before, left)
		}
	})
}

// unchanged says that the files of the host are as they were, and so is what a snapshot of the kernel would show of the NICs.
func (s *stage) unchanged(when, files string, rows ...fleet.Row) {
	s.Helper()
	if is := s.host.Files("/etc"); is != files {
		s.Errorf("%s: /etc was\n%s\nand is\n%s", when, files, is)
	}
	s.right(oracle.Expect{}, rows...)
}

// set changes a row in place.
func (s *stage) set(mac, what string) {
	s.fleet.SQL("UPDATE multi_interface SET " + what + " WHERE mac_address = '" + mac + "'")
}

// TestWhateverFailsIsUndoneOnTheHostAsWell has a row change into what cannot be, for reasons of the host's, beside one that changes
// into what can.
func TestWhateverFailsIsUndoneOnTheHostAsWell(t *testing.T) {
	onBothByBoth(t, func(t *testing.T, s *stage) {
		t.Helper()
		all := rows()
		s.fleet.Insert(all...)
		s.node.StartExecutor()
		s.fleet.AwaitAll()
		s.wire.AddHost("neighbour", "10.1.0.99/24")
		program := generator(s)
		for _, test := range []struct {
			what      string
			begin     func()
			end       func()
			want      string
			alsoOther bool // the other row cannot be carried out either
		}{
			{"the address is in use on the wire", func() {}, func() {}, "FAILED ADDRESS_IN_USE", false},
			{"netplan refuses the host's other files", func() { s.host.Write("/etc/netplan/60-other.yaml", 0o600, "network: [") },
				func() { s.host.MustRun("rm", "/etc/netplan/60-other.yaml") }, "FAILED PERSIST_FAILED", true},
			{"somebody else's file speaks of the NIC", func() {
				s.host.Write("/etc/netplan/95-other.yaml", 0o600, "network: {version: 2, ethernets: {multinic0: {dhcp4: true}}}\n")
			}, func() { s.host.MustRun("rm", "/etc/netplan/95-other.yaml") }, "FAILED PERSIST_FAILED", false},
			{"/etc cannot be written", func() {
				s.host.MustRun("mount", "--bind", "/etc", "/etc")
				s.host.MustRun("mount", "-o", "remount,bind,ro", "/etc")
			},
				// Lazily: the executor, which looks again and again, may have a file of it open.
				func() { s.host.MustRun("umount", "--lazy", "/etc") }, "FAILED PERSIST_FAILED", true},
			{"netplan is missing", func() { s.host.MustRun("mv", program, "/root/generate") },
				func() { s.host.MustRun("mv", "/root/generate", program) }, "FAILED PERSIST_FAILED", true},
			{"netplan fails", func() {
				s.host.MustRun("mv", program, "/root/generate")
				s.host.Write(program, 0o755, "#!/bin/sh\nexit 3\n")
			},
				func() { s.host.MustRun("mv", "/root/generate", program) }, "FAILED PERSIST_FAILED: netplan refuses the host's other files, without multinic's: " +
					program + ": exit status 3", true},
		} {
			t.Run(test.what, func(t *testing.T) {
				address := "10.1.0.11"
				if strings.HasPrefix(test.want, "FAILED ADDRESS") {
					address = "10.1.0.99"
				}
				test.begin()
				files := s.host.Files("/etc")
				s.set(mac(0), "ip_address = '"+address+"'")
				s.fleet.AwaitResult(nodeName, mac(0), test.want)
				s.fleet.AwaitFlags("0 1")
				s.unchanged(test.what, files, all...)
				other := all[1]
				other.Address = "10.2.0.11"
				s.set(mac(1), "ip_address = '10.2.0.11', netplan_success = 0")
				if test.alsoOther {
					s.fleet.AwaitResult(nodeName, mac(1), test.want)
					s.unchanged(test.what+", of the other as well", files, all...)
				} else {
					s.fleet.AwaitFlags("0 1")
					s.right(oracle.Expect{}, all[0], other)
				}
				test.end()
				s.set(mac(0), "ip_address = '"+all[0].Address+"', netplan_success = 0")
				s.set(mac(1), "ip_address = '"+all[1].Address+"', netplan_success = 0")
				s.fleet.AwaitAll()
				s.right(oracle.Expect{}, all...)
			})
		}
	})
}

// generator is where the host's release has netplan's generator, while it is there.
func generator(s *stage) string { return generatorOf(s.host) }

func generatorOf(host *container.Container) string {
	if _, code := host.Run("test", "-e", "/usr/libexec/netplan/generate"); code == 0 {
		return "/usr/libexec/netplan/generate"
	}

	return "/usr/lib/netplan/generate"
}
