package netplan

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"multinic.dev/executor/internal/durable"
	"multinic.dev/executor/internal/netplan/render"
	"multinic.dev/executor/internal/plan"
)

// Persist has the next boot make of NICs what configurations say, and know nothing of those that are forgotten; then it proves
// that by the host's netplan. A NIC is changed at once, with all of its files, or not at all; what it was is kept until it is
// persisted once more. What is so already is no error. When it returns nil, all of it survives a power cut. A configuration that is
// somebody else's file puts that back.
func (h *Host) Persist(ctx context.Context, configs []plan.Config, forget []string) error {
	for _, config := range configs {
		if config.Foreign != nil {
			if err := h.giveBack(config); err != nil {
				return fmt.Errorf("put back what was there of %s: %w", config.NIC, err)
			}
		}
	}
	configs = slices.DeleteFunc(slices.Clone(configs), func(config plan.Config) bool { return config.Foreign != nil })
	if len(configs) > 0 {
		definitions, err := h.definitions(ctx)
		if err != nil {
			return err
		}
		configs = h.placed(configs, definitions)
	}
	// All that needs room on the disk comes first.
	folders := make([]string, len(configs))
	for i, config := range configs {
		if err := h.claim(config); err != nil {
			return err
		}
		var err error
		if folders[i], err = h.prepare(config); err != nil {
			return fmt.Errorf("persist %s: %w", config.NIC, err)
		}
		if err := h.takeOver(config.NIC); err != nil {
			return fmt.Errorf("persist %s: %w", config.NIC, err)
		}
	}
	for _, nic := range forget {
		if err := h.forget(nic); err != nil {
			return fmt.Errorf("persist nothing of %s: %w", nic, err)
		}
	}
	for i, config := range configs {
		if err := h.turnOver(config, folders[i]); err != nil {
			return fmt.Errorf("persist %s: %w", config.NIC, err)
		}
	}
	out, err := h.generate(ctx, nil)
	if err != nil {
		return fmt.Errorf("netplan refuses what was persisted: %w", err)
	}
	files := out.inRuntime()
	for _, config := range configs {
		if err := render.Check(config, files); err != nil {
			return err
		}
	}
	return h.install(files)
}

// prepare has a folder for a NIC that has all of its files and does not count yet, and returns its name: one that is there
// already, or a new one.
func (h *Host) prepare(config plan.Config) (string, error) {
	files, err := filesOf(config)
	if err != nil {
		return "", err
	}
	folders, err := h.foldersOf(config.NIC)
	if err != nil {
		return "", err
	}
	current, _ := os.Readlink(h.at(filepath.Join(folder, config.NIC)))
	chosen := ""
	for _, name := range folders {
		intact, err := holds(h.at(filepath.Join(folder, name)), files)
		switch {
		case err != nil:
			return "", err
		case intact && chosen == "":
			chosen = name
		case name != current:
			// It may have been what counted before, and Sweep was not reached.
			if err := h.backUpFolder(config.NIC, name); err != nil {
				return "", err
			}
			h.before("remove " + name)
			if err := os.RemoveAll(h.at(filepath.Join(folder, name))); err != nil {
				return "", fmt.Errorf("remove what %s was long ago: %w", config.NIC, err)
			}
		}
	}
	if chosen != "" {
		return chosen, nil
	}
	return h.makeFolder(config.NIC, files)
}

// makeFolder makes a folder for a NIC that does not count yet, and returns its name.
func (h *Host) makeFolder(nic string, files map[string]string) (string, error) {
	for _, dir := range []string{folder, "etc/sysctl.d", "etc/systemd/network"} {
		h.before("make " + dir)
		if err := durable.Folder(h.at(dir)); err != nil {
			return "", err
		}
	}
	h.before("make a folder for " + nic)
	return durable.Tree(h.at(folder), nic+".", files)
}

// foldersOf are the names of the folders of a NIC.
func (h *Host) foldersOf(nic string) ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(h.at(folder), nic+".*"))
	if err != nil {
		return nil, fmt.Errorf("find the folders of %s: %w", nic, err)
	}
	names := make([]string, len(paths))
	for i, path := range paths {
		names[i] = filepath.Base(path)
	}
	return names, nil
}

// turnOver makes a NIC's folder the one that counts.
func (h *Host) turnOver(config plan.Config, fresh string) error {
	// Links into the folder that counts lead nowhere while that has nothing of the kind, and the YAML is the last: without it
	// netplan generates nothing that the others could add to.
	number, _ := plan.Number(config.NIC)
	yaml := render.YAMLPath(number)
	links := linksOf(config)
	for _, path := range slices.Sorted(maps.Keys(links)) {
		if path != yaml {
			if err := h.link(h.target(path, config.NIC, links[path]), path); err != nil {
				return err
			}
		}
	}
	if err := h.link(fresh, filepath.Join(folder, config.NIC)); err != nil {
		return err
	}
	if err := h.link(h.target(yaml, config.NIC, links[yaml]), yaml); err != nil {
		return err
	}
	found, err := h.linksTo(config.NIC)
	if err != nil {
		return err
	}
	for _, path := range found {
		if _, wanted := links[path]; !wanted {
			if err := h.remove(path); err != nil {
				return err
			}
		}
	}
	return nil
}

// forget takes all that counts of a NIC away: first what netplan reads, without which the rest means nothing. Its folders are
// left for whoever wants them back.
func (h *Host) forget(nic string) error {
	number, _ := plan.Number(nic)
	links, err := h.linksTo(nic)
	if err != nil {
		return err
	}
	if yaml := render.YAMLPath(number); slices.Contains(links, yaml) {
		if err := h.remove(yaml); err != nil {
			return err
		}
	}
	if err := h.remove(filepath.Join(folder, nic)); err != nil {
		return err
	}
	for _, path := range links {
		if err := h.remove(path); err != nil {
			return err
		}
	}
	return nil
}

// takeOver backs up somebody else's file that is where a NIC's would be, and puts a folder with the same file in its place, so that
// it can be replaced at once with all else that is of the NIC.
func (h *Host) takeOver(nic string) error {
	number, _ := plan.Number(nic)
	path := render.YAMLPath(number)
	info, err := os.Lstat(h.at(path))
	if err != nil || !info.Mode().IsRegular() {
		return ignoreMissing(err)
	}
	is, err := h.foreign(number, info)
	if err != nil {
		return err
	}
	if err := h.backUp(nic, map[string]string{filepath.Base(path): is.Foreign.Text}, true); err != nil {
		return err
	}
	files, err := filesOf(is)
	if err != nil {
		return err
	}
	same, err := h.makeFolder(nic, files)
	if err != nil {
		return err
	}
	return h.turnOver(is, same)
}

// giveBack puts somebody else's file back where a NIC's is: first in a folder, at once with all else that is of the NIC, and then in
// its own place.
func (h *Host) giveBack(config plan.Config) error {
	number, _ := plan.Number(config.NIC)
	if is, there, err := h.read(number); err != nil || there && is.Equal(config) {
		return err
	}
	fresh, err := h.prepare(config)
	if err == nil {
		err = h.turnOver(config, fresh)
	}
	if err != nil {
		return err
	}
	h.before("give back " + render.YAMLPath(number))
	if err := durable.WriteAs(h.at(render.YAMLPath(number)), []byte(config.Foreign.Text), os.FileMode(config.Foreign.Mode)); err != nil {
		return err
	}
	return h.forget(config.NIC)
}

// Sweep removes what does not count any more, now that nobody can want it back: the folders of NICs that are forgotten, and those
// of replaced versions. They are kept as backups.
func (h *Host) Sweep() error {
	for number := range plan.Interfaces {
		nic := fmt.Sprintf("multinic%d", number)
		current, _ := os.Readlink(h.at(filepath.Join(folder, nic)))
		folders, err := h.foldersOf(nic)
		if err != nil {
			return err
		}
		for _, name := range folders {
			if name == current {
				continue
			}
			if err := h.backUpFolder(nic, name); err != nil {
				return err
			}
			h.before("remove " + name)
			if err := os.RemoveAll(h.at(filepath.Join(folder, name))); err != nil {
				return fmt.Errorf("remove what %s was: %w", nic, err)
			}
		}
	}
	err := os.Remove(h.at(folder))
	// In a container it is a mount of its own below a root that cannot be written to, and stays.
	for _, fine := range []error{fs.ErrNotExist, syscall.ENOTEMPTY, syscall.EBUSY, syscall.EROFS} {
		if errors.Is(err, fine) {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("remove the folder of all that is persisted: %w", err)
	}
	return nil
}

// link makes a link of the host's, in the place of one that is there.
func (h *Host) link(target, path string) error {
	h.before("link " + path)
	return durable.Link(target, h.at(path))
}

func (h *Host) remove(path string) error {
	h.before("remove " + path)
	return durable.Remove(h.at(path))
}

// install puts what netplan generates for multinic's NICs where it would put it at the next boot, for udev, and for networkd when it
// starts again. Nobody is told: what is foreign there is not touched.
func (h *Host) install(files map[string]string) error {
	dir := h.at(runtime)
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // as netplan makes it
		return fmt.Errorf("install what netplan generates: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("install what netplan generates: %w", err)
	}
	for _, entry := range entries {
		if _, wanted := files[entry.Name()]; !wanted && isGenerated(entry.Name()) {
			h.before("remove " + entry.Name())
			if err := os.Remove(filepath.Join(dir, entry.Name())); err != nil {
				return fmt.Errorf("install what netplan generates: %w", err)
			}
		}
	}
	if err := h.retract(dir, entries); err != nil {
		return err
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if is, err := os.ReadFile(path); !isGenerated(name) || err == nil && string(is) == text {
			continue
		}
		h.before("install " + name)
		if err := durable.WriteShared(path, []byte(text)); err != nil {
			return fmt.Errorf("install what netplan generates: %w", err)
		}
	}
	return nil
}

// retract takes away what networkd was told of NICs, and is not what is persisted of them; see package networkd.
func (h *Host) retract(dir string, entries []os.DirEntry) error {
	persisted, err := h.Read()
	if err != nil {
		return err
	}
	told := map[string]string{}
	for _, config := range persisted {
		if config.Foreign == nil && !config.Spoiled {
			maps.Copy(told, render.Volatile(config))
		}
	}
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		if !render.IsOurs(entry.Name()) || !strings.HasPrefix(entry.Name(), render.VolatilePrefix) {
			continue
		}
		if text, err := os.ReadFile(path); err == nil && string(text) == told[entry.Name()] {
			continue
		}
		h.before("remove " + entry.Name())
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("take back what networkd was told: %w", err)
		}
	}
	return nil
}
