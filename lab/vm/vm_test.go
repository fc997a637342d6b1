package vm_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"multinic.dev/lab/fleet"
	"multinic.dev/testbed/debian"
	"multinic.dev/testbed/node"
	"multinic.dev/testbed/oracle"
	"multinic.dev/testbed/vm"
)

const (
	nodeName = "node-1"
	own      = "02:00:5e:10:00:01" // eth0, by which the node is reached

	// patience is how long what must happen may take in a guest, in which all is slow.
	patience = 2 * time.Minute
)

func mac(card int) string { return fmt.Sprintf("02:00:5e:10:01:%02x", card) }

// onBoth runs a test on both releases of Debian whose Netplan is tested.
func onBoth(t *testing.T, test func(t *testing.T, s *stage)) {
	t.Helper()
	for _, release := range []debian.Release{debian.Bookworm, debian.Trixie} {
		t.Run(string(release), func(t *testing.T) {
			t.Parallel()
			test(t, newStage(t, release))
		})
	}
}

// stage is a fleet with one node, which is a virtual machine.
type stage struct {
	*testing.T

	fleet *fleet.Fleet
	node  *fleet.Guest
	cards []*vm.NIC

	underlay *node.Wire
}

// newStage starts a machine with a network of its own, by Netplan, and two further cards that nobody has configured.
func newStage(t *testing.T, release debian.Release) *stage {
	t.Helper()
	machine := vm.New(t, release, nodeName)
	s := &stage{T: t, fleet: fleet.New(t, fleet.Settings{Programs: programs, Patience: patience})}
	underlay := node.NewWire(t, s.name("underlay"))
	s.underlay = underlay
	underlay.AddHost(s.name("gateway"), "192.0.2.1/24")
	machine.PlugIn(own, underlay)
	wire := node.NewWire(t, s.name("wire"))
	machine.Start()
	machine.Write("/etc/netplan/50-cloud-init.yaml", 0o600, `network:
  version: 2
  ethernets:
    eth0:
      addresses: [192.0.2.5/24]
      routes: [{to: default, via: 192.0.2.1}]
`)
	machine.MustRun("netplan", "apply")
	machine.Configured("eth0")
	for card := range 2 {
		nic := machine.PlugIn(mac(card), wire)
		nic.Link()
		s.cards = append(s.cards, nic)
	}
	s.node = s.fleet.AddVM(machine, executor)
	s.startDispatcher()

	return s
}

// name is what something is called on this machine that a stage has beside its guest: other stages have the like at the same time.
func (s *stage) name(what string) string { return what + "-" + strings.ReplaceAll(s.Name(), "/", "-") }

// startDispatcher has it do at once what it is asked for, however much that is. It serves HTTP where nobody else does.
func (s *stage) startDispatcher() {
	s.Helper()
	s.fleet.StartDispatcher("--removal-hold-down=0s", "--guard-share=100%", "--http-listen=127.0.0.1:0")
}

// right says that the kernel is what rows say.
func (s *stage) right(when string, expect oracle.Expect, rows ...fleet.Row) {
	s.Helper()
	if wrong := s.node.Judge(expect, rows...); wrong != "" {
		s.Errorf("%s: the kernel:\n%s", when, wrong)
	}
}

// TestAfterAPowerCutTheNextBootMakesAllOfItWithoutTheExecutor is about rows of two cards, one of them a trunk with a VLAN.
func TestAfterAPowerCutTheNextBootMakesAllOfItWithoutTheExecutor(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *stage) {
		t.Helper()
		rows := []fleet.Row{
			{Node: nodeName, MAC: mac(0), Address: "10.1.0.10", Mask: "24", Gateway: "10.1.0.1"},
			{Node: nodeName, MAC: mac(1), Address: "10.2.0.10", Mask: "24", VLAN: 100},
		}
		s.right("before", oracle.Expect{})
		s.fleet.Insert(rows...)
		s.node.StartExecutor()
		began := time.Now()
		s.fleet.AwaitAll()
		t.Logf("all is there after %v", time.Since(began))
		s.right("with the executor", oracle.Expect{}, rows...)

		if err := s.node.Executor.Kill(); err != nil {
			t.Fatal(err)
		}
		s.node.Kill()
		s.node.Boot()
		s.node.Configured(s.named()...)
		s.right("after the power cut, without the executor", oracle.Expect{ByManager: true}, rows...)

		s.node.StartExecutor()
		s.fleet.SQL("UPDATE multi_interface SET netplan_success = 0")
		s.fleet.AwaitAll()
		s.right("with the executor again", oracle.Expect{ByManager: true}, rows...)
		if s.node.Judge(oracle.Expect{ByManager: true}, rows[:1]...) == "" {
			t.Error("the oracle does not see the VLAN")
		}
	})
}

// named are the guest's links that multinic has named.
func (s *stage) named() []string {
	s.Helper()

	return strings.Fields(s.node.MustRun("sh", "-c", "cd /sys/class/net && ls -d multinic*"))
}
