package netplan

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"multinic.dev/executor/internal/durable"
	"multinic.dev/executor/internal/plan"
	"multinic.dev/testbed/container"
)

// paths are all files, folders and links where this room and package networkd write.
func paths(t *testing.T, h *Host) []string {
	t.Helper()
	var all []string
	for _, dir := range []string{"etc/netplan", "etc/sysctl.d", "etc/systemd/network", folder, runtime, volatile} {
		must(t, filepath.WalkDir(h.at(dir), func(path string, _ fs.DirEntry, err error) error {
			all = append(all, strings.TrimPrefix(path, h.root))

			return err
		}))
	}
	must(t, filepath.WalkDir(h.backups, func(path string, _ fs.DirEntry, err error) error {
		all = append(all, "backups"+strings.TrimPrefix(path, h.backups))

		return err
	}))

	return all
}

// TestTheNextExecutorTidiesUpAfterOneThatWasKilled in the middle of a single file, link, folder, trial or backup; and what others have left
// there stays.
func TestTheNextExecutorTidiesUpAfterOneThatWasKilled(t *testing.T) {
	onBoth(t, func(t *testing.T, disk *container.Container, h *Host) {
		t.Helper()
		disk.PlugIn("eth1", macA, nil)
		s := &site{disk: disk, host: h, dir: t.TempDir()}
		item := func(address string) []plan.Item {
			return []plan.Item{{Key: plan.Key{MAC: macA}, Spec: spec(address, "", 0)}}
		}
		s.life(t, -1, true, item("10.1.0.10/24"))
		s.life(t, -1, true, item("10.1.0.11/24")) // There is a backup now.
		others := []string{
			"etc/netplan/.90-multinic0.yaml.swp", "etc/netplan/.50-cloud-init.yaml123", "etc/sysctl.d/.99-sysctl.conf42", "etc/multinic/.notes1",
			"run/systemd/network/.10-netplan-eth0.network77", "run/multinic/.other.json5",
		}
		write := func(path string) { must(t, os.WriteFile(h.at(path), []byte("half"), 0o600)) }
		for _, path := range others {
			write(path)
		}
		before := paths(t, h)

		for _, path := range []string{
			"etc/netplan/.90-multinic0.yaml812345", "run/systemd/network/.10-netplan-multinic0.network1", "run/systemd/network/.07-multinic0.network9223372036854775807",
			"run/multinic/.networkd.json12",
		} {
			write(path)
		}
		for _, path := range []string{
			"etc/netplan/.93-multinic3.yaml55", "etc/sysctl.d/.90-multinic0.conf6", "etc/systemd/network/.10-netplan-multinic0.network.d7",
			"etc/multinic/.multinic018", "etc/systemd/network/.09-multinic0.link3",
		} {
			must(t, os.Mkdir(h.at(path), 0o700))
			must(t, os.Symlink("../multinic/multinic0", h.at(filepath.Join(path, "tmp.symlink"))))
		}
		must(t, os.MkdirAll(h.at("run/multinic/netplan-9876/etc/netplan"), 0o700))
		write("run/multinic/netplan-9876/etc/netplan/90-multinic0.yaml")
		half, err := filesOf(plan.Config{NIC: "multinic0", MAC: macA, Interfaces: []plan.Interface{{Spec: spec("10.1.0.12/24", "", 0)}}})
		must(t, err)
		for _, missing := range []string{configName, "sysctl.conf"} {
			files := map[string]string{".sysctl.conf99": "ha"}
			for name, text := range half {
				if name != missing {
					files[name] = text
				}
			}
			_, err := durable.Tree(h.at(folder), "multinic0.", files)
			must(t, err)
		}
		_, err = durable.Tree(h.backups, unfinished, map[string]string{"netplan.yaml": "half"})
		must(t, err)
		if with := paths(t, h); len(with) < len(before)+20 {
			t.Fatalf("nothing was left: %v", with)
		}

		s.life(t, -1, false, nil)
		after := paths(t, h)
		for _, path := range after {
			if !slices.Contains(before, path) {
				t.Errorf("%s is left", path)
			}
		}
		for _, path := range before {
			if !slices.Contains(after, path) {
				t.Errorf("%s is gone", path)
			}
		}
	})
}
