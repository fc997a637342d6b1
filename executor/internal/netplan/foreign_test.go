package netplan

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/testbed/container"
)

// predecessors is a file as the predecessor's agent writes them.
const predecessors = `network:
  version: 2
  ethernets:
    multinic0:
      match:
        macaddress: 02:00:00:00:00:0A
      set-name: multinic0
      dhcp4: false
      addresses:
        - 10.1.0.10/24
      mtu: 1450
`

// TestAPredecessorsFileIsUnderstoodAndNoOther in whose place nothing is put.
func TestAPredecessorsFileIsUnderstoodAndNoOther(t *testing.T) {
	onBoth(t, func(t *testing.T, disk *container.Container, h *Host) {
		t.Helper()
		const file = "/etc/netplan/90-multinic0.yaml"
		for _, test := range []struct{ what, text, mac string }{
			{"the predecessor's", predecessors, "02:00:00:00:00:0a"},
			{"of another format", `{network: {ethernets: {id0: {set-name: multinic0, match: {macaddress: "02:00:00:00:00:0a"}}}}}`, "02:00:00:00:00:0a"},
			{"no YAML", "network: [", ""},
			{"nothing", "", ""},
			{"no MAC address", "network: {version: 2, ethernets: {multinic0: {dhcp4: true}}}\n", ""},
			{"half a MAC address", "network: {ethernets: {multinic0: {match: {macaddress: '02:00:00:00:00:0'}}}}\n", ""},
			{"another name", strings.ReplaceAll(predecessors, "set-name: multinic0", "set-name: multinic1"), ""},
			{"a NIC more", predecessors + "    eth7: {dhcp4: true}\n", ""},
			{"a bridge more", predecessors + "  bridges: {br0: {interfaces: [multinic0]}}\n", ""},
			{"an address by DHCP", strings.ReplaceAll(predecessors, "dhcp4: false", "dhcp4: true"), ""},
			{"of another encoding", predecessors + "# \xe9t\xe9\n", ""},
			{"too long", predecessors + "#" + strings.Repeat("x", mostForeign), ""},
		} {
			disk.Write(file, 0o644, test.text)
			read, err := h.Read()
			must(t, err)
			is := read["multinic0"]
			if is.MAC != test.mac || is.Foreign == nil || is.MAC != "" && *is.Foreign != (plan.File{Text: test.text, Mode: 0o644}) {
				t.Errorf("%s: %+v, and the file %+v", test.what, is, is.Foreign)
			}
			if test.what == "the predecessor's" && !slices.Equal(is.Interfaces, []plan.Interface{{Spec: spec("10.1.0.10/24", "", 1450)}}) {
				t.Errorf("%s says %+v", test.what, is.Interfaces)
			}
			before := disk.Files("/etc")
			err = h.Persist(t.Context(), []plan.Config{trunk("10.1.0.10/24")}, nil)
			if taken := err == nil; taken != (test.mac != "") {
				t.Errorf("%s: taken over: %v, %v", test.what, taken, err)
			}
			if err == nil {
				must(t, h.Persist(t.Context(), []plan.Config{is}, nil))
				must(t, h.Sweep())
			}
			if after := disk.Files("/etc"); after != before {
				t.Errorf("%s: /etc was\n%s\nand is\n%s", test.what, before, after)
			}
		}
	})
}

// TestAFileThatAlsoSaysHowOthersAreMadeIsNotTakenOver as its going would change what the next boot makes of them.
func TestAFileThatAlsoSaysHowOthersAreMadeIsNotTakenOver(t *testing.T) {
	onBoth(t, func(t *testing.T, disk *container.Container, h *Host) {
		t.Helper()
		for renderer, want := range map[string]string{"networkd": "", "NetworkManager": "of the host's other files"} {
			disk.Write("/etc/netplan/90-multinic0.yaml", 0o600, strings.Replace(predecessors, "  version: 2\n", "  version: 2\n  renderer: "+renderer+"\n", 1))
			config := plan.Config{NIC: "multinic0", MAC: "02:00:00:00:00:0a", Interfaces: []plan.Interface{{Spec: spec("10.1.0.10/24", "", 1450)}}}
			if err := h.Check(t.Context(), []plan.Config{config})[0]; want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("with the renderer %s: %v, want %q", renderer, err, want)
			}
		}
	})
}

// TestTheHostsFilesMayNeedOurs as a VLAN of the operator's on a NIC of multinic's does.
func TestTheHostsFilesMayNeedOurs(t *testing.T) {
	onBoth(t, func(t *testing.T, disk *container.Container, h *Host) {
		t.Helper()
		must(t, persist(t, h, []plan.Config{plain()}))
		disk.Write("/etc/netplan/95-vlan.yaml", 0o600, "network: {version: 2, vlans: {theirs: {id: 42, link: multinic3, addresses: [10.42.0.1/24]}}}\n")
		must(t, persist(t, h, []plan.Config{trunk("10.1.0.10/24")}))
	})
}

// TestALinkThatLeadsElsewhereIsSomebodyElses and its number is given to no NIC.
func TestALinkThatLeadsElsewhereIsSomebodyElses(t *testing.T) {
	onBoth(t, func(t *testing.T, disk *container.Container, h *Host) {
		t.Helper()
		disk.Write("/opt/site.yaml", 0o600, predecessors)
		must(t, os.Symlink("/opt/site.yaml", disk.Path("/etc/netplan/90-multinic0.yaml")))
		before := disk.Files("/etc")
		read, err := h.Read()
		must(t, err)
		if is := read["multinic0"]; is.Foreign == nil || is.MAC != "" {
			t.Errorf("read %+v", is)
		}
		if err := persist(t, h, []plan.Config{trunk("10.1.0.10/24")}); err == nil {
			t.Error("it was replaced")
		}
		if after := disk.Files("/etc"); after != before {
			t.Errorf("/etc was\n%s\nand is\n%s", before, after)
		}
	})
}

// TestWhatIsReplacedIsBackedUp once, and the oldest backups go.
func TestWhatIsReplacedIsBackedUp(t *testing.T) {
	onBoth(t, func(t *testing.T, disk *container.Container, h *Host) {
		t.Helper()
		backups := func(pattern string) []string {
			paths, err := filepath.Glob(disk.Path("/var/lib/multinic/backups/" + pattern))
			must(t, err)

			return paths
		}
		disk.Write("/etc/netplan/90-multinic0.yaml", 0o644, predecessors)
		for _, address := range []string{"10.1.0.10/24", "10.1.0.11/24", "10.1.0.10/24"} {
			must(t, persist(t, h, []plan.Config{trunk(address)}))
			must(t, h.Sweep())
		}
		theirs := backups("multinic0.*/90-multinic0.yaml")
		if len(theirs) != 1 || len(backups("*")) != 3 {
			t.Fatalf("the backups are %q", backups("*/*"))
		}
		if data, err := os.ReadFile(theirs[0]); err != nil || string(data) != predecessors {
			t.Errorf("the backup of the predecessor's file is %q, %v", data, err)
		}
		// One that was killed before it swept.
		for _, address := range []string{"10.1.0.21/24", "10.1.0.22/24"} {
			must(t, persist(t, h, []plan.Config{trunk(address)}))
		}
		must(t, h.Sweep())
		kept, err := exec.CommandContext(t.Context(), "grep", "-l", "10.1.0.10/24", "-r", disk.Path("/var/lib/multinic/backups"), "--include=config.json").Output()
		if err != nil || len(kept) == 0 {
			t.Errorf("what was replaced before the sweep is kept nowhere: %v", err)
		}
		must(t, os.Mkdir(disk.Path("/var/lib/multinic/backups/.new.1"), 0o700)) // Of an executor that was killed.
		for last := range 2 * mostBackups {
			config := plain()
			config.Interfaces[0].Spec.MTU = 1000 + last
			must(t, persist(t, h, []plan.Config{config}))
			must(t, h.Sweep())
		}
		if kept := backups("multinic3.*"); len(kept) != mostBackups || len(backups("multinic0.original.*")) != 1 || len(backups(".new.*")) != 0 {
			t.Errorf("the backups are %q", backups("*"))
		}
		for last := range 2 * mostBackups {
			config := trunk("10.1.0.10/24")
			config.Interfaces[0].Spec.MTU = 1000 + last
			must(t, persist(t, h, []plan.Config{config}))
			must(t, h.Sweep())
		}
		if data, err := os.ReadFile(theirs[0]); err != nil || string(data) != predecessors {
			t.Errorf("after many changes the backup of the predecessor's file is %q, %v", data, err)
		}
		newest := backups("multinic3.*")[mostBackups-1]
		if data, err := os.ReadFile(newest + "/config.json"); err != nil || !strings.Contains(string(data), "1018") {
			t.Errorf("the newest is %s, %v", data, err)
		}
	})
}

// TestWhatOthersSayOfNICs is found in the host's files, and the file is named.
func TestWhatOthersSayOfNICs(t *testing.T) {
	onBoth(t, func(t *testing.T, disk *container.Container, h *Host) {
		t.Helper()
		var release plan.Kernel // What each host of it has.
		must(t, h.Surroundings(t.Context(), &release))
		for _, test := range []struct {
			what, file, text string
			want             []plan.Definition
		}{
			{"a MAC address", "/etc/netplan/60-other.yaml", "network: {ethernets: {ens5: {match: {macaddress: '02:00:00:00:00:0A'}, set-name: ens5}}}\n",
				// networkd looks for an address in upper case in vain, but whoever wrote it meant this NIC.
				[]plan.Definition{{File: "/etc/netplan/60-other.yaml (ens5)", MAC: "02:00:00:00:00:0a", First: true}}},
			{"a wildcard", "/etc/netplan/60-other.yaml", "network: {ethernets: {all-en: {match: {name: 'en*'}, dhcp4: true}}}\n",
				[]plan.Definition{{File: "/etc/netplan/60-other.yaml (all-en)", Names: []string{"en*"}, First: true, DHCP: true}}},
			{"a wildcard that comes later", "/etc/netplan/60-other.yaml", "network: {ethernets: {zz: {match: {name: 'multi*'}, dhcp4: true}}}\n",
				[]plan.Definition{{File: "/etc/netplan/60-other.yaml (zz)", Names: []string{"multi*"}, DHCP: true}}},
			{"networkd's own", "/etc/systemd/network/05-all.network", "[Match]\nDriver=virtio_net\n[Network]\nDHCP=ipv4\n",
				[]plan.Definition{{File: "/etc/systemd/network/05-all.network", Names: []string{"*"}, First: true, DHCP: true}}},
			{"networkd's own for bridges", "/etc/systemd/network/05-all.network", "[Match]\nKind=bridge\n[Network]\nDHCP=ipv4\n", nil},
			{"a vendor's", "/usr/lib/systemd/network/05-vendor.network", "[Match]\nName=e* m*\n[Network]\nDHCP=yes\n",
				[]plan.Definition{{File: "/usr/lib/systemd/network/05-vendor.network", Names: []string{"e*", "m*"}, First: true, DHCP: true}}},
			{"a distribution's for all cards", "/usr/lib/systemd/network/89-ethernet.network", "[Match]\nKind=!*\nType=ether\n[Network]\nDHCP=yes\n",
				[]plan.Definition{{File: "/usr/lib/systemd/network/89-ethernet.network", Names: []string{"*"}, DHCP: true}}},
			{"NetworkManager", "/etc/netplan/60-other.yaml", "network: {renderer: NetworkManager, ethernets: {ens5: {match: {macaddress: '02:00:00:00:00:0a'}}}}\n",
				[]plan.Definition{{File: "/etc/netplan/60-other.yaml (ens5)", MAC: "02:00:00:00:00:0a", First: true}}},
		} {
			disk.Write(test.file, 0o600, test.text)
			var kernel plan.Kernel
			must(t, h.Surroundings(t.Context(), &kernel))
			found := slices.DeleteFunc(slices.Clone(kernel.Definitions), func(d plan.Definition) bool {
				return slices.ContainsFunc(release.Definitions, func(one plan.Definition) bool { return same(d, one) })
			})
			found = slices.CompactFunc(found, same)
			if !slices.EqualFunc(found, test.want, same) {
				t.Errorf("%s: %+v, want %+v", test.what, found, test.want)
			}
			must(t, os.Remove(disk.Path(test.file)))
		}
		// What is added for a NIC of multinic's, later, fails its next change.
		must(t, persist(t, h, []plan.Config{trunk("10.1.0.10/24")}))
		disk.Write("/etc/netplan/60-other.yaml", 0o600, "network: {ethernets: {ens5: {match: {macaddress: '02:00:00:00:00:0a'}}}}\n")
		if err := persist(t, h, []plan.Config{trunk("10.1.0.11/24")}); err == nil || !strings.Contains(err.Error(), "/etc/netplan/60-other.yaml (ens5) speaks of multinic0") {
			t.Errorf("with another definition of its MAC address: %v", err)
		}
	})
}

func same(a, b plan.Definition) bool {
	return a.File == b.File && a.MAC == b.MAC && a.First == b.First && a.DHCP == b.DHCP && slices.Equal(a.Names, b.Names)
}
