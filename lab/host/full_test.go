package host_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"multinic.dev/lab/fleet"
	multinicv1 "multinic.dev/proto/multinic/v1"
	"multinic.dev/testbed/debian"
	"multinic.dev/testbed/oracle"
	"multinic.dev/testbed/snapshot"
)

// TestAFullDiskIsUndoneWhereverItIsFull has a change, and then a first apply, meet a disk that has room for nothing, for one page, for
// two, and so on until there is enough: each file that is written is the one for which there is no room. What was is there again, the
// reason names the file, and once there is room, it is done. The release has no part in it.
func TestAFullDiskIsUndoneWhereverItIsFull(t *testing.T) {
	s := newStage(t, debian.Trixie)
	all := rows()
	s.fleet.Insert(all...)
	s.node.StartExecutor()
	s.fleet.AwaitAll()
	changed := all[0]
	changed.Address = "10.1.0.11"
	said := s.untilThereIsRoom(
		func() { s.set(mac(0), "ip_address = '10.1.0.11', netplan_success = 0") }, "0 1", []fleet.Row{changed, all[1]},
		func() { s.set(mac(0), "ip_address = '10.1.0.10', netplan_success = 0") },
	)
	for _, file := range []string{"/var/lib/multinic/", "/etc/multinic/multinic0."} {
		if !slices.ContainsFunc(said, func(reason string) bool { return strings.Contains(reason, file) }) {
			t.Errorf("the disk was never full for a file in %s: %q", file, said)
		}
	}

	s.fleet.SQL("DELETE FROM multi_interface WHERE mac_address = '" + mac(0) + "'")
	gone := func() { s.until(func() bool { return len(s.fleet.View(nodeName).GetInterfaces()) == 1 }) }
	gone()
	said = s.untilThereIsRoom(
		func() { s.fleet.Insert(all[0]) }, "1 0", all,
		func() { s.fleet.SQL("DELETE FROM multi_interface WHERE mac_address = '" + mac(0) + "'"); gone() },
	)
	if !slices.ContainsFunc(said, func(reason string) bool { return strings.Contains(reason, "interfaces.json") }) {
		t.Errorf("the disk was never full for the record: %q", said)
	}
}

// TestADiskThatIsFullBeforeWhatWasClaimedIsTakenBack has the disk fill up in the middle of a first apply: there is room for the journal
// and the record, and then for nothing, not even for the record as it was. The kernel is put back at once, the other card stays as it
// is, and the rest is done once there is room.
func TestADiskThatIsFullBeforeWhatWasClaimedIsTakenBack(t *testing.T) {
	s := newStage(t, debian.Trixie)
	all := rows()
	s.fleet.Insert(all[1])
	s.node.StartExecutor()
	s.fleet.AwaitAll()
	files, kernel := s.host.Files("/etc"), s.kernel()
	s.fleet.Insert(all[0])
	s.until(func() bool { return s.inTransaction() && strings.Contains(s.record(), mac(0)) })
	s.host.LeaveRoom(0)
	reason := s.fleet.AwaitResult(nodeName, mac(0), "FAILED")
	if !strings.Contains(reason, "no space left on device") {
		t.Errorf("the reason is %q", reason)
	}
	s.until(func() bool { return strings.Contains(s.node.Executor.Log(), "rolling back has not succeeded yet") })
	s.fleet.AwaitFlags("1 0")
	for _, difference := range differences(files, s.host.Files("/etc")) {
		t.Errorf("/etc has changed: %s", difference)
	}
	for _, difference := range snapshot.Differences(kernel, s.kernel()) {
		t.Errorf("the kernel has changed: %s", difference)
	}

	s.host.MakeRoom()
	s.retry()
	s.fleet.AwaitAll()
	s.right(oracle.Expect{}, all...)
}

// record is the record of the node's interfaces, as it is on the disk.
func (s *stage) record() string {
	text, _ := os.ReadFile(s.host.Path("/var/lib/multinic/interfaces.json")) // It may be about to be replaced.

	return string(text)
}

// untilThereIsRoom does something to the first card with more and more room on the disk until it is done. Before that, it fails with
// flags that say so; goal are the rows once it is done, and back takes it back. It returns the reasons.
func (s *stage) untilThereIsRoom(do func(), failed string, goal []fleet.Row, back func()) (said []string) {
	s.Helper()
	for room := range 100 {
		files, kernel := s.host.Files("/etc", "/var/lib/multinic"), s.kernel()
		s.host.LeaveRoom(room)
		do()
		reason := ""
		s.until(func() bool {
			reason = s.fleet.Result(nodeName, mac(0))

			return strings.HasPrefix(reason, "FAILED") || !strings.Contains(s.fleet.Flags(), "0")
		})
		if !strings.HasPrefix(reason, "FAILED") {
			s.host.MakeRoom()
			s.Logf("there was room with %d pages; before: %q", room, said)

			return said
		}
		said = append(said, reason)
		when := fmt.Sprintf("with room for %d pages", room)
		if !strings.HasPrefix(reason, "FAILED PERSIST_FAILED") || !strings.Contains(reason, "no space left on device") {
			s.Errorf("%s the reason is %q", when, reason)
		}
		if flags := s.fleet.Flags(); flags != failed {
			s.Errorf("%s the flags are %q, not %q", when, flags, failed)
		}
		if is := s.host.Files("/etc", "/var/lib/multinic"); is != files {
			s.Errorf("%s the files were\n%s\nand are\n%s", when, files, is)
		}
		for _, difference := range snapshot.Differences(kernel, s.kernel()) {
			s.Errorf("%s the kernel has changed: %s", when, difference)
		}
		// What is right already needs no room.
		s.set(mac(1), "netplan_success = 0")
		s.fleet.AwaitFlags(failed)

		s.host.MakeRoom()
		s.retry()
		s.fleet.AwaitAll()
		s.right(oracle.Expect{}, goal...)
		back()
		s.fleet.AwaitAll()
	}
	s.Fatalf("no room is enough: %q", said)

	return nil
}

// kernel is all that the node's kernel has.
func (s *stage) kernel() snapshot.Snapshot {
	s.Helper()
	taken, err := snapshot.Take(s.Context(), s.node.Node)
	if err != nil {
		s.Fatal(err)
	}

	return taken
}

// retry has the node try again what has failed, now.
func (s *stage) retry() {
	s.Helper()
	if _, err := s.fleet.API.RetryNode(s.Context(), &multinicv1.RetryNodeRequest{Name: nodeName}); err != nil {
		s.Fatal(err)
	}
}

// until waits until something is so that needs no explanation but the node's own.
func (s *stage) until(so func() bool) {
	s.Helper()
	s.fleet.Until(so, func() string { return s.fleet.View(nodeName).String() })
}
