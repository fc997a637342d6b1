package host_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"multinic.dev/lab/fleet"
	"multinic.dev/testbed/monitor"
	"multinic.dev/testbed/oracle"
)

// predecessor gives the host what the predecessor's agent has made of a NIC: a file, and an address in the way in which the kernel makes
// a route in `main`.
func (s *stage) predecessor(number int, address string) (file, text string) {
	s.Helper()
	name := fmt.Sprint("multinic", number)
	file = fmt.Sprintf("/etc/netplan/9%d-%s.yaml", number, name)
	text = fmt.Sprintf("network:\n  version: 2\n  ethernets:\n    %s:\n      match: {macaddress: %q}\n      set-name: %s\n      addresses: [%s]\n",
		name, mac(number), name, address)
	s.host.Write(file, 0o644, text)
	s.node.IP("address", "add", address, "brd", "+", "dev", name)
	s.node.BringUp(name)

	return file, text
}

// in is a row with another address.
func in(row fleet.Row, address string) fleet.Row {
	row.Address = address

	return row
}

// about are the events of a link.
func about(events []monitor.Event, link string) []monitor.Event {
	var all []monitor.Event
	for _, event := range events {
		if event.Link == link {
			all = append(all, event)
		}
	}

	return all
}

// TestThePredecessorsFilesAreTakenOver by MAC with their names: what says what the row says is not disturbed, and what does not is changed.
// The predecessor's agent must not run, and what fails is the predecessor's again.
func TestThePredecessorsFilesAreTakenOver(t *testing.T) {
	onBoth(t, func(t *testing.T, s *stage) {
		t.Helper()
		s.predecessor(0, "10.1.0.10/24")
		file, text := s.predecessor(1, "10.2.0.99/24")
		s.wire.AddHost("neighbour", "10.2.0.98/24")
		all := rows()
		all[0].Gateway, all[0].MTU = "", 0

		// The agent runs: nothing is touched.
		s.host.MustRun("cp", "/usr/bin/sleep", "/usr/local/bin/multinic-agent")
		files := s.host.Files("/etc")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		agent := s.host.Inside(ctx, "/usr/local/bin/multinic-agent", "1000")
		if err := agent.Start(); err != nil {
			t.Fatal(err)
		}
		m := monitor.Start(t, s.node.Node)
		s.fleet.Insert(all[0], in(all[1], "10.2.0.98"))
		s.node.StartExecutor()
		said := s.fleet.AwaitResult(nodeName, mac(0), "REFUSED LINK_IN_USE")
		if !strings.Contains(said, "multinic-agent (process ") {
			t.Errorf("while the agent runs: %s", said)
		}
		if events := m.Mark(t); len(events) > 0 || s.host.Files("/etc") != files {
			t.Errorf("while the agent runs: %v, and /etc is\n%s", events, s.host.Files("/etc"))
		}
		cancel()
		_ = agent.Wait() // It was killed.

		// One asks for what is in use elsewhere: it is the predecessor's again.
		s.fleet.Retry(nodeName)
		s.fleet.AwaitResult(nodeName, mac(0), "READY")
		s.fleet.AwaitResult(nodeName, mac(1), "FAILED ADDRESS_IN_USE")
		if is := s.host.MustRun("cat", file); is != text || s.host.MustRun("stat", "-c", "%F %a", file) != "regular file 644\n" {
			t.Errorf("%s is %s", file, is)
		}
		if has := s.node.IP("-br", "address", "show", "multinic1"); !strings.Contains(has, "10.2.0.99/24") {
			t.Errorf("multinic1 is %s", has)
		}
		for _, event := range about(m.Mark(t), "multinic0") {
			if strings.Contains(event.Kind, "address") || strings.HasPrefix(event.Kind, "link") {
				t.Errorf("multinic0, which was as its row says, was disturbed: %v", event)
			}
		}

		s.set(mac(1), "ip_address = '"+all[1].Address+"'")
		s.fleet.AwaitAll()
		s.right(oracle.Expect{Adopted: true}, all...)
		if backup := s.host.MustRun("sh", "-c", "cat /var/lib/multinic/backups/multinic1.*/91-multinic1.yaml"); backup != text {
			t.Errorf("the backup is %s", backup)
		}
		if err := s.node.Executor.Kill(); err != nil {
			t.Fatal(err)
		}
		s.host.Kill()
		s.boot()
		s.host.Configured("multinic0", "multinic1")
		s.right(oracle.Expect{ByManager: true}, all...)

		// And when the record is lost, what is right is not disturbed either.
		s.host.MustRun("rm", "-r", "/var/lib/multinic")
		m = monitor.Start(t, s.node.Node)
		s.fleet.SQL("UPDATE multi_interface SET netplan_success = 0")
		s.node.StartExecutor()
		s.fleet.AwaitAll()
		if events := m.Mark(t); len(events) > 0 {
			t.Errorf("after the record was lost: %v", events)
		}
	})
}

// TestWhatOthersFilesSpeakOfIsRefused with the name of the file, and nothing is touched.
func TestWhatOthersFilesSpeakOfIsRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, s *stage) {
		t.Helper()
		s.node.IP("link", "set", "multinic0", "name", "ens5")
		for _, test := range []struct{ text, want string }{
			{"network: {ethernets: {other: {match: {macaddress: '" + mac(0) + "'}, set-name: eth7}}}\n", "is defined by /etc/netplan/60-other.yaml (other)"},
			{"network: {ethernets: {ens5: {dhcp4: true}}}\n", "is among the NICs that /etc/netplan/60-other.yaml (ens5) is for"},
			{"network: {ethernets: {all-en: {match: {name: 'en*'}, dhcp4: true}}}\n", "is among the NICs that /etc/netplan/60-other.yaml (all-en) is for"},
		} {
			s.host.Write("/etc/netplan/60-other.yaml", 0o600, test.text)
			files := s.host.Files("/etc")
			s.fleet.Rewrite(rows()[0])
			s.node.StartExecutor()
			s.fleet.AwaitResult(nodeName, mac(0), "REFUSED LINK_IN_USE: ens5 ("+mac(0)+") "+test.want)
			if is := s.host.Files("/etc"); is != files {
				t.Errorf("%s: /etc is %s", test.text, is)
			}
			if err := s.node.Executor.Stop(); err != nil {
				t.Fatal(err)
			}
		}
		s.host.MustRun("rm", "/etc/netplan/60-other.yaml")
		s.node.StartExecutor()
		s.fleet.AwaitAll()
	})
}
