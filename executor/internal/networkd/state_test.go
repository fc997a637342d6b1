package networkd

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/testbed/container"
	"multinic.dev/testbed/node"
)

// TestNetworkdSaysWhatItIsAtWorkOn by its own files: of a NIC of its own that comes, until it has set it up, and of one that is not its own.
// One that hangs has said nothing of a NIC that comes meanwhile, and one that was never started has no say.
func TestNetworkdSaysWhatItIsAtWorkOn(t *testing.T) {
	onBoth(t, safe, func(t *testing.T, host *container.Container, m *Manager) {
		t.Helper()
		says := func(name string) string {
			index, err := strconv.Atoi(strings.TrimSpace(host.MustRun("cat", "/sys/class/net/"+name+"/ifindex")))
			if err != nil {
				t.Fatal(err)
			}
			has, done := m.Has(index)

			return map[bool]string{true: "its own", false: "not its own"}[has] + map[bool]string{true: ", done", false: ", at work"}[done]
		}
		await(t, "it leaves a NIC alone of which it was not told", func() bool { return says("multinic0") == "not its own, done" })
		if err := m.Tell(t.Context(), []plan.Config{config("10.1.0.10/24", "")}, nil); err != nil {
			t.Fatal(err)
		}
		await(t, "it has set up what it was told of", func() bool { return says("multinic0") == "its own, done" })

		host.MustRun("systemctl", "kill", "--signal=STOP", "systemd-networkd.service")
		host.PlugIn("multinic2", "02:00:5e:10:01:02", node.NewWire(t, "late-"+host.Name()[5:9]))
		for range 10 {
			if is := says("multinic2"); is != "its own, at work" {
				t.Fatalf("while it hangs, it says of a NIC that has come: %s", is)
			}
			time.Sleep(10 * time.Millisecond)
		}
		host.MustRun("systemctl", "kill", "--signal=CONT", "systemd-networkd.service")
		await(t, "it has come to know the NIC", func() bool { return says("multinic2") == "not its own, done" })

		if has, _ := Open(t.TempDir()).Has(2); has {
			t.Error("a networkd that was never started has a NIC")
		}
	})
}
