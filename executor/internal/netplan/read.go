package netplan

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"multinic.dev/executor/internal/netplan/render"
	"multinic.dev/executor/internal/plan"
)

// Read says what the next boot makes of multinic's NICs. What is not exactly what this version writes is Spoiled.
func (h *Host) Read() (map[string]plan.Config, error) {
	found := map[string]plan.Config{}
	for number := range plan.Interfaces {
		config, there, err := h.read(number)
		if err != nil {
			return nil, err
		}
		if there {
			found[config.NIC] = config
		}
	}
	return found, nil
}

func (h *Host) read(number int) (plan.Config, bool, error) {
	spoiled := plan.Config{NIC: fmt.Sprintf("multinic%d", number), Spoiled: true}
	yaml := h.at(render.YAMLPath(number))
	info, err := os.Lstat(yaml)
	if err != nil {
		return plan.Config{}, false, ignoreMissing(err)
	}
	if info.Mode().IsRegular() {
		config, err := h.foreign(number, info)
		return config, true, err
	}
	switch target, _ := os.Readlink(yaml); {
	case !strings.HasPrefix(target, h.target(render.YAMLPath(number), spoiled.NIC, "")+"/"):
		// Of a link that leads elsewhere, or whatever else it is, nothing is understood; see claim.
		return plan.Config{NIC: spoiled.NIC, Foreign: &plan.File{}}, true, nil
	case target != h.target(render.YAMLPath(number), spoiled.NIC, render.YAMLName):
		return spoiled, true, nil
	}
	current := h.at(filepath.Join(folder, spoiled.NIC))
	data, err := os.ReadFile(filepath.Join(current, configName))
	if err != nil {
		return spoiled, true, ignoreMissing(err)
	}
	var config plan.Config
	if err := json.Unmarshal(data, &config); err != nil || config.NIC != spoiled.NIC {
		return spoiled, true, nil //nolint:nilerr // it is written anew
	}
	// Somebody else's file is to be read where it was, not through a link of ours.
	config.Spoiled = config.Foreign != nil
	files, err := filesOf(config)
	if err != nil {
		return spoiled, true, err
	}
	intact, err := holds(current, files)
	if err != nil {
		return spoiled, true, err
	}
	for path, inside := range linksOf(config) {
		target, err := os.Readlink(h.at(path))
		intact = intact && err == nil && target == h.target(path, config.NIC, inside)
	}
	config.Spoiled = config.Spoiled || !intact
	return config, true, nil
}

// holds says whether a folder has just these files.
func holds(dir string, files map[string]string) (bool, error) {
	// One link at most leads there. The root before it may be one of /proc, which nothing but the kernel can follow.
	within := dir
	if target, err := os.Readlink(dir); err == nil {
		within = filepath.Join(filepath.Dir(dir), target)
	}
	if _, err := os.Stat(within); err != nil {
		return false, ignoreMissing(err)
	}
	found, err := filesIn(within)
	return err == nil && maps.Equal(found, files), err
}

// filesIn are all files of a folder by their paths in it.
func filesIn(dir string) (map[string]string, error) {
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path) //nolint:gosec // the folder is root's alone
		name, _ := filepath.Rel(dir, path)
		found[name] = string(data)
		return err //nolint:wrapcheck // it is below
	})
	if err != nil {
		return nil, fmt.Errorf("read what is persisted: %w", err)
	}
	return found, nil
}

// linksOf are the links that lead into a NIC's folder; see render.Links.
func linksOf(config plan.Config) map[string]string {
	if config.Foreign == nil {
		return render.Links(config)
	}
	number, _ := plan.Number(config.NIC)
	return map[string]string{render.YAMLPath(number): render.YAMLName}
}

// filesOf are all files of a NIC's folder. One that stands for somebody else's file has that alone.
func filesOf(config plan.Config) (map[string]string, error) {
	files := map[string]string{}
	if config.Foreign != nil {
		files[render.YAMLName] = config.Foreign.Text
	} else {
		files = render.Files(config)
	}
	data, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("describe %s: %w", config.NIC, err)
	}
	files[configName] = string(append(data, '\n'))
	return files, nil
}

// target is what a link at a path of the host's says, to lead to what a NIC's folder has.
func (h *Host) target(path, nic, inside string) string {
	up, _ := filepath.Rel(filepath.Dir("/"+path), "/"+folder)
	return filepath.Join(up, nic, inside)
}

// linksTo are the paths of the links that lead into a NIC's folder, wherever they may be.
func (h *Host) linksTo(nic string) ([]string, error) {
	var found []string
	for _, dir := range []string{"etc/netplan", "etc/sysctl.d", "etc/systemd/network"} {
		entries, err := os.ReadDir(h.at(dir))
		if err = ignoreMissing(err); err != nil {
			return nil, err
		}
		for _, entry := range entries {
			path := filepath.Join(dir, entry.Name())
			target, err := os.Readlink(h.at(path))
			if err != nil {
				continue
			}
			into := filepath.Join("/"+dir, h.target(path, nic, ""))
			if inside, err := filepath.Rel(into, filepath.Join("/"+dir, target)); err == nil && filepath.IsLocal(inside) {
				found = append(found, path)
			}
		}
	}
	slices.Sort(found)
	return found, nil
}

func ignoreMissing(err error) error {
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return fmt.Errorf("read what is persisted: %w", err)
}
