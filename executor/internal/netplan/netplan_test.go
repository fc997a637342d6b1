package netplan

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/testbed/container"
	"multinic.dev/testbed/debian"
)

func TestMain(m *testing.M) { container.Main(m) }

// ownFile is a host's own.
const (
	ownFile = "/etc/netplan/50-cloud-init.yaml"
	ownText = "network:\n  version: 2\n  ethernets:\n    eth0:\n      addresses: [192.0.2.5/24]\n      routes: [{to: default, via: 192.0.2.1}]\n"
)

// onBoth runs a test on the disks of both releases, which are not booted, with the host's own network in its Netplan.
func onBoth(t *testing.T, test func(t *testing.T, disk *container.Container, h *Host)) {
	t.Helper()
	for _, release := range []debian.Release{debian.Bookworm, debian.Trixie} {
		t.Run(string(release), func(t *testing.T) {
			disk := container.New(t, release, "disk-"+string(release))
			disk.Write(ownFile, 0o600, ownText)
			test(t, disk, open(t, disk))
		})
	}
}

func open(t *testing.T, disk *container.Container) *Host {
	t.Helper()
	h, err := Open(disk.Root(), disk.Path("/var/lib/multinic/backups"))
	if err != nil {
		t.Fatal(err)
	}

	return h
}

func spec(address, gateway string, mtu int) plan.Spec {
	s := plan.Spec{MTU: mtu}
	if address != "" {
		s.Address = netip.MustParsePrefix(address)
	}
	if gateway != "" {
		s.Gateway = netip.MustParseAddr(gateway)
	}

	return s
}

// The configurations of two NICs: the first is a trunk.
func trunk(address string) plan.Config {
	return plan.Config{NIC: "multinic0", MAC: "02:00:00:00:00:0a", Interfaces: []plan.Interface{
		{VLAN: 0, Spec: spec(address, "", 1400)}, {VLAN: 7, Spec: spec("10.7.0.10/24", "10.7.0.1", 0)},
	}}
}

func plain() plan.Config {
	return plan.Config{NIC: "multinic3", MAC: "02:00:00:00:00:0b", Interfaces: []plan.Interface{{Spec: spec("10.3.0.10/32", "10.9.0.1", 0)}}}
}

// persist checks and persists, and returns the first error.
func persist(t *testing.T, h *Host, configs []plan.Config, forget ...string) error {
	t.Helper()
	for _, err := range h.Check(t.Context(), configs) {
		if err != nil {
			return err
		}
	}

	return h.Persist(t.Context(), configs, forget)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// nextBoot is what netplan would generate at the next boot, with what networkd would add to it, and the settings of the NICs that it
// would name: what is there for others nobody asks for.
func nextBoot(t *testing.T, disk *container.Container, h *Host) string {
	t.Helper()
	out, err := h.generate(t.Context(), nil)
	must(t, err)
	var text strings.Builder
	add := func(path string) {
		data, err := os.ReadFile(disk.Path(path))
		if err == nil { // A link that leads nowhere is nothing.
			fmt.Fprintf(&text, "=== %s\n%s\n", path, data)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(out)) {
		fmt.Fprintf(&text, "=== %s\n%s\n", path, out[path])
		name, isNetwork := strings.CutSuffix(filepath.Base(path), ".network")
		if !isNetwork {
			continue
		}
		dropIns := "/etc/systemd/network/" + name + ".network.d"
		files, _ := os.ReadDir(disk.Path(dropIns))
		for _, file := range files {
			add(dropIns + "/" + file.Name())
		}
		if number, is := plan.Number(strings.TrimPrefix(name, "10-netplan-")); is {
			add(fmt.Sprintf("/etc/sysctl.d/9%d-multinic%d.conf", number, number))
		}
	}

	return text.String()
}

func TestWhatIsPersistedIsReadAgainAndForgotten(t *testing.T) {
	onBoth(t, func(t *testing.T, disk *container.Container, h *Host) {
		t.Helper()
		before := disk.Files("/etc")
		boot := nextBoot(t, disk, h)
		must(t, persist(t, h, []plan.Config{trunk("10.1.0.10/24"), plain()}))
		must(t, h.Sweep())
		read, err := h.Read()
		must(t, err)
		for _, want := range []plan.Config{trunk("10.1.0.10/24"), plain()} {
			if !read[want.NIC].Equal(want) {
				t.Errorf("read %+v, want %+v", read[want.NIC], want)
			}
		}
		if info, err := os.Stat(disk.Path("/etc/netplan/90-multinic0.yaml")); err != nil || info.Mode() != 0o600 {
			t.Errorf("the YAML has the mode %v, %v", info.Mode(), err)
		}

		// The same again touches nothing.
		touched := []string{}
		h.before = func(effect string) { touched = append(touched, effect) }
		must(t, persist(t, h, []plan.Config{trunk("10.1.0.10/24"), plain()}))
		must(t, h.Sweep())
		for _, effect := range touched {
			if !strings.HasPrefix(effect, "link ") { // Which is seen to be there.
				t.Errorf("what was persisted already led to %q", effect)
			}
		}
		h.before = func(string) {}

		must(t, persist(t, h, nil, "multinic0", "multinic3"))
		must(t, h.Sweep())
		if after := disk.Files("/etc"); after != before {
			t.Errorf("/etc was\n%s\nand is\n%s", before, after)
		}
		if after := nextBoot(t, disk, h); after != boot {
			t.Errorf("the next boot made\n%s\nand makes\n%s", boot, after)
		}
	})
}

// TestWhatIsTamperedWithIsSpoiled so that it is written anew.
func TestWhatIsTamperedWithIsSpoiled(t *testing.T) {
	onBoth(t, func(t *testing.T, disk *container.Container, h *Host) {
		t.Helper()
		for what, tamper := range map[string]func(){
			"another text":     func() { disk.Write("/etc/multinic/multinic0/netplan.yaml", 0o600, "network: {version: 2}\n") },
			"a drop-in gone":   func() { must(t, os.Remove(disk.Path("/etc/systemd/network/10-netplan-multinic0.network.d"))) },
			"settings gone":    func() { must(t, os.Remove(disk.Path("/etc/sysctl.d/90-multinic0.conf"))) },
			"a file for links": func() { disk.Write("/etc/netplan/90-multinic0.yaml", 0o600, "network: {version: 2}\n") },
			"one file more":    func() { disk.Write("/etc/multinic/multinic0/network.d/more.conf", 0o644, "[Network]\nDHCP=yes\n") },
		} {
			must(t, os.RemoveAll(disk.Path("/etc/netplan/90-multinic0.yaml")))
			must(t, persist(t, h, []plan.Config{trunk("10.1.0.10/24")}))
			tamper()
			read, err := h.Read()
			must(t, err)
			if isForeign := what == "a file for links"; isForeign != (read["multinic0"].Foreign != nil) || !isForeign && !read["multinic0"].Spoiled {
				t.Errorf("%s: read %+v", what, read["multinic0"])
			}
			if what == "a file for links" {
				continue // Which is somebody else's: see the next test.
			}
			must(t, persist(t, h, []plan.Config{trunk("10.1.0.10/24")}))
			if read, err = h.Read(); err != nil || !read["multinic0"].Equal(trunk("10.1.0.10/24")) {
				t.Errorf("%s: persisted once more, it is %+v, %v", what, read["multinic0"], err)
			}
		}
	})
}

// TestWhatNetplanWouldMakeOfTheHostsOtherFilesIsRefused has other files in the way. Nothing is changed then.
func TestWhatNetplanWouldMakeOfTheHostsOtherFilesIsRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, disk *container.Container, h *Host) {
		t.Helper()
		for _, test := range []struct{ what, file, text, want string }{
			{"no YAML", "/etc/netplan/60-other.yaml", "network: [", "netplan refuses the host's other files"},
			{"a file of that name", "/etc/netplan/90-multinic0.yaml", "network: {version: 2}\n", "/etc/netplan/90-multinic0.yaml is there already and is not multinic's: move it away"},
			{"settings of that name", "/etc/sysctl.d/90-multinic0.conf", "", "/etc/sysctl.d/90-multinic0.conf is there already and is not multinic's: move it away"},
			{"the NIC itself, in another file", "/etc/netplan/95-other.yaml", "network: {version: 2, ethernets: {multinic0: {dhcp4: true}}}\n",
				"/etc/netplan/95-other.yaml (multinic0) speaks of multinic0 (02:00:00:00:00:0a) as well: take that out"},
			{"the VLAN itself", "/etc/netplan/95-other.yaml", "network: {version: 2, ethernets: {x0: {}}, vlans: {multinic0.7: {id: 9, link: x0}}}\n", ""},
		} {
			disk.Write(test.file, 0o600, test.text)
			before := disk.Files("/etc")
			err := persist(t, h, []plan.Config{trunk("10.1.0.10/24")})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: %v, want %s", test.what, err, test.want)
			}
			if after := disk.Files("/etc"); after != before {
				t.Errorf("%s: /etc was\n%s\nand is\n%s", test.what, before, after)
			}
			must(t, os.Remove(disk.Path(test.file)))
		}
		must(t, persist(t, h, []plan.Config{trunk("10.1.0.10/24")})) // The control.
	})
}

// killed is what a process that is killed panics with.
type killed struct{}

// TestACutAtAnyStepLeavesTheOldOrTheNew cuts the power before each single effect on the disk, as they are counted, of changes that
// make a NIC, change it, make it a trunk or none, and forget it; the next boot makes of each NIC what it made before, or what it is
// to make. Then whoever does it again ends where it should have ended.
func TestACutAtAnyStepLeavesTheOldOrTheNew(t *testing.T) {
	bare := plan.Config{NIC: "multinic0", MAC: "02:00:00:00:00:0a", Interfaces: []plan.Interface{{VLAN: 7, Spec: spec("10.7.0.10/24", "10.7.0.1", 0)}}}
	theirs := plan.Config{NIC: "multinic0", MAC: "02:00:00:00:00:0a", Foreign: &plan.File{Text: predecessors, Mode: 0o600}}
	onBoth(t, func(t *testing.T, disk *container.Container, h *Host) {
		t.Helper()
		for _, test := range []struct {
			name    string
			is      []plan.Config
			configs []plan.Config
			forget  []string
		}{
			{"a new trunk", nil, []plan.Config{trunk("10.1.0.10/24")}, nil},
			{"another address", []plan.Config{trunk("10.1.0.10/24")}, []plan.Config{trunk("10.1.0.11/24")}, nil},
			{"nothing untagged any more", []plan.Config{trunk("10.1.0.10/24")}, []plan.Config{bare}, nil},
			{"something untagged", []plan.Config{bare}, []plan.Config{trunk("10.1.0.10/24")}, nil},
			{"forgotten", []plan.Config{trunk("10.1.0.10/24")}, nil, []string{"multinic0"}},
			{"the predecessor's taken over", []plan.Config{theirs}, []plan.Config{trunk("10.1.0.10/24")}, nil},
			{"and given back", []plan.Config{trunk("10.1.0.10/24")}, []plan.Config{theirs}, nil},
		} {
			state := func() string { return nextBoot(t, disk, h) }
			reset := func() {
				h.before = func(string) {}
				must(t, h.Persist(t.Context(), test.is, without("multinic0", test.is)))
				must(t, h.Sweep())
			}
			steps := []string{}
			reset()
			old := state()
			h.before = func(effect string) { steps = append(steps, effect) }
			must(t, h.Persist(t.Context(), test.configs, test.forget))
			fresh := state()
			h.before = func(string) {}
			if old == fresh || len(steps) < 3 {
				t.Fatalf("%s: nothing is changed, or all in %q", test.name, steps)
			}
			for cut := range steps {
				reset()
				made := 0
				h.before = func(string) {
					if made == cut {
						panic(killed{})
					}
					made++
				}
				func() {
					defer func() {
						if r := recover(); r != nil {
							if _, is := r.(killed); !is {
								panic(r)
							}
						}
					}()
					must(t, h.Persist(t.Context(), test.configs, test.forget))
				}()
				h.before = func(string) {}
				if got := state(); got != old && got != fresh {
					t.Errorf("%s, cut before %q: the next boot makes\n%s\nwhich is neither\n%s\nnor\n%s", test.name, steps[cut], got, old, fresh)
				}
				must(t, h.Persist(t.Context(), test.configs, test.forget))
				if got := state(); got != fresh {
					t.Errorf("%s, cut before %q and done again: the next boot makes\n%s\nnot\n%s", test.name, steps[cut], got, fresh)
				}
			}
		}
	})
}

// without is what must be forgotten for a NIC to be as configurations say.
func without(nic string, configs []plan.Config) []string {
	if slices.ContainsFunc(configs, func(c plan.Config) bool { return c.NIC == nic }) {
		return nil
	}

	return []string{nic}
}

// TestWhateverIsAskedForNetplanTakesItAndMeansIt asks the real generator of both releases.
func TestWhateverIsAskedForNetplanTakesItAndMeansIt(t *testing.T) {
	onBoth(t, func(t *testing.T, _ *container.Container, h *Host) {
		t.Helper()
		rapid.Check(t, func(r *rapid.T) {
			var configs []plan.Config
			for _, number := range rapid.SliceOfNDistinct(rapid.IntRange(0, 9), 1, 4, rapid.ID).Draw(r, "numbers") {
				config := plan.Config{
					NIC: fmt.Sprint("multinic", number), MAC: fmt.Sprintf("02:00:00:00:00:%02x", number), ByName: rapid.Bool().Draw(r, "by name"),
				}
				vlans := rapid.SliceOfNDistinct(rapid.IntRange(0, 4094), 1, 4, rapid.ID).Draw(r, "vlans")
				slices.Sort(vlans)
				for _, vlan := range vlans {
					config.Interfaces = append(config.Interfaces, plan.Interface{VLAN: vlan, Spec: drawSpec(r)})
				}
				configs = append(configs, config)
			}
			for i, err := range h.Check(t.Context(), configs) {
				if err != nil {
					r.Errorf("%+v: %v", configs[i], err)
				}
			}
		})
	})
}

func drawSpec(r *rapid.T) plan.Spec {
	s := plan.Spec{MTU: rapid.SampledFrom([]int{0, 0, 68, 576, 1280, 1500, 9000, 65535}).Draw(r, "mtu")}
	if rapid.IntRange(0, 4).Draw(r, "bare") == 0 {
		return s
	}
	bits := rapid.IntRange(8, 32).Draw(r, "bits")
	address := netip.AddrFrom4([4]byte{byte(rapid.IntRange(1, 223).Draw(r, "a")), byte(rapid.IntRange(0, 255).Draw(r, "b")), byte(rapid.IntRange(0, 255).Draw(r, "c")), byte(rapid.IntRange(1, 254).Draw(r, "d"))})
	s.Address = netip.PrefixFrom(address, bits)
	if rapid.Bool().Draw(r, "gateway") {
		s.Gateway = s.Address.Masked().Addr().Next()
	}

	return s
}
