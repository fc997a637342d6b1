package vm_test

import (
	"strings"
	"testing"

	"multinic.dev/lab/fleet"
	"multinic.dev/testbed/debian"
	"multinic.dev/testbed/oracle"
)

// TestNamesHoldWhereDebianNamesTheLinksItself in its own initrd, which knows nothing of Netplan's files, before anything else sees them:
// the host's own card is called by its slot, as before, and those of the rows as multinic calls them.
func TestNamesHoldWhereDebianNamesTheLinksItself(t *testing.T) {
	t.Parallel()
	for _, release := range []debian.Release{debian.Bookworm, debian.Trixie} {
		t.Run(string(release), func(t *testing.T) {
			t.Parallel()
			h := newHost(t, setup{release: release, cards: 2})
			h.node.ByDebian()
			h.node.Write("/etc/netplan/50-cloud-init.yaml", 0o600, `network:
  version: 2
  ethernets:
    ens16:
      accept-ra: false
      addresses: [192.0.2.5/24]
      routes: [{to: default, via: 192.0.2.1}]
`)
			h.node.Reboot()
			h.node.Configured("ens16")
			h.names("before", "ens16 "+own, "ens17 "+mac(0), "ens18 "+mac(1))
			rows := []fleet.Row{
				{Node: nodeName, MAC: mac(0), Address: "10.1.0.10", Mask: "24", Gateway: "10.1.0.1"},
				{Node: nodeName, MAC: mac(1), Address: "10.2.0.10", Mask: "24"},
			}
			h.fleet.Insert(rows...)
			h.node.StartExecutor()
			h.fleet.AwaitAll()
			h.right("with the executor", oracle.Expect{}, rows...)
			if err := h.node.Executor.Kill(); err != nil {
				t.Fatal(err)
			}
			h.node.Kill()
			h.node.Boot()
			h.node.Configured("ens16", "multinic0", "multinic1")
			h.names("after the power cut", "ens16 "+own, "multinic0 "+mac(0), "multinic1 "+mac(1))
			h.right("after the power cut, without the executor", oracle.Expect{}, rows...)
			if is := h.node.MustRun("ip", "-br", "-4", "address", "show", "ens16"); !strings.Contains(is, "192.0.2.5/24") {
				t.Errorf("the host's own card has %s", is)
			}
		})
	}
}

// names says that the guest's cards are called so, each with its MAC.
func (h *host) names(when string, want ...string) {
	h.Helper()
	is := strings.TrimSpace(h.node.MustRun("sh", "-c", "cd /sys/class/net && for link in *; do if test -e $link/device; then echo $link $(cat $link/address); fi; done"))
	if is != strings.Join(want, "\n") {
		h.Errorf("%s the cards are\n%s\nand not\n%s", when, is, strings.Join(want, "\n"))
	}
}
