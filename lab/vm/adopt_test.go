package vm_test

import (
	"fmt"
	"strings"
	"testing"

	"multinic.dev/lab/fleet"
	"multinic.dev/testbed/oracle"
)

// predecessor writes the file that the predecessor's agent has made of a card, and returns its name.
func (h *host) predecessor(number int, address string) string {
	h.Helper()
	name := fmt.Sprint("multinic", number)
	file := fmt.Sprintf("/etc/netplan/9%d-%s.yaml", number, name)
	h.node.Write(file, 0o644, fmt.Sprintf("network:\n  version: 2\n  ethernets:\n    %s:\n      match: {macaddress: %q}\n      set-name: %s\n      addresses: [%s]\n",
		name, mac(number), name, address))

	return file
}

// TestWhatThePredecessorLeftIsTakenOver where the machine has booted with its files, so that networkd itself has made the interfaces of
// them: one is as its row says, and keeps its address all the time; the row of the other says another address. The next boot, without the
// executor, makes what the rows say.
func TestWhatThePredecessorLeftIsTakenOver(t *testing.T) {
	t.Parallel()
	onBothByBoth(t, setup{cards: 2}, func(t *testing.T, h *host) {
		t.Helper()
		files := []string{h.predecessor(0, "10.1.0.10/24"), h.predecessor(1, "10.2.0.99/24")}
		h.node.Reboot()
		h.node.Configured("eth0", "multinic0", "multinic1")
		if is := h.node.MustRun("ip", "-br", "-4", "address"); !strings.Contains(is, "10.1.0.10/24") || !strings.Contains(is, "10.2.0.99/24") {
			t.Fatalf("the predecessor's files make %s", is)
		}
		rows := []fleet.Row{
			{Node: nodeName, MAC: mac(0), Address: "10.1.0.10", Mask: "24"},
			{Node: nodeName, MAC: mac(1), Address: "10.2.0.10", Mask: "24"},
		}
		m := h.listen()
		h.fleet.Insert(rows...)
		h.node.StartExecutor()
		h.fleet.AwaitAll()
		gone := 0
		for _, e := range moved(m.Mark(t)) {
			switch {
			case e.Kind == "address gone" && e.Link == "multinic1":
				gone++
			case e.Link == "eth0", e.Link == "multinic0" && (strings.HasPrefix(e.Kind, "address") || strings.HasPrefix(e.Kind, "link")):
				t.Errorf("what was as it should be was disturbed: %v", e)
			}
		}
		if gone == 0 {
			t.Error("the monitor has not heard that the address that no row asks for is gone")
		}
		h.right("with the executor", oracle.Expect{Adopted: true}, rows...)
		for _, file := range files {
			if text := h.node.MustRun("cat", file); strings.Contains(text, "10.2.0.99") || strings.Contains(text, "set-name: multinic1") && !strings.Contains(text, "10.2.0.10/24") {
				t.Errorf("%s is %s", file, text)
			}
		}

		if err := h.node.Executor.Kill(); err != nil {
			t.Fatal(err)
		}
		h.node.Kill()
		h.node.Boot()
		h.node.Configured("eth0", "multinic0", "multinic1")
		h.right("after the power cut, without the executor", oracle.Expect{}, rows...)
	})
}
