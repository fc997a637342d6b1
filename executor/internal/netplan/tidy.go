package netplan

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"multinic.dev/executor/internal/durable"
	"multinic.dev/executor/internal/netplan/render"
	"multinic.dev/executor/internal/plan"
)

// trialPrefix begins the names of the folders in which netplan is tried.
const trialPrefix = "netplan-"

// Tidy removes what a process has left half written that was killed, wherever this room and package networkd write, and what counts no
// more. Nobody may be writing meanwhile, and nothing may have to be put back.
func (h *Host) Tidy() error {
	isSetting := func(name string) bool {
		var number, again int
		n, err := fmt.Sscanf(name, "9%1d-multinic%1d.conf", &number, &again)
		return err == nil && n == 2 && name == fmt.Sprintf("9%d-multinic%d.conf", number, number)
	}
	var err error
	for dir, isOurs := range map[string]func(name string) bool{
		"etc/netplan":         func(name string) bool { return isYAMLPath("etc/netplan/" + name) },
		"etc/sysctl.d":        isSetting,
		"etc/systemd/network": render.IsOurs,
		folder:                func(name string) bool { _, is := plan.Number(name); return is },
		runtime:               render.IsOurs,
		volatile:              func(name string) bool { return name == "networkd.json" },
	} {
		err = errors.Join(err, durable.Sweep(h.at(dir), isOurs, func(name string) { h.before("sweep " + filepath.Join(dir, name)) }))
	}
	return errors.Join(err, h.tidyTrials(), h.tidyBackups(), h.Sweep())
}

// tidyTrials removes the folders in which netplan was being tried.
func (h *Host) tidyTrials() error {
	return removeFrom(h.at(volatile), func(entry fs.DirEntry) bool {
		number, is := strings.CutPrefix(entry.Name(), trialPrefix)
		return is && entry.IsDir() && strings.Trim(number, "0123456789") == ""
	})
}

// tidyBackups removes the backups that were being made.
func (h *Host) tidyBackups() error {
	return removeFrom(h.backups, func(entry fs.DirEntry) bool { return strings.HasPrefix(entry.Name(), unfinished) })
}

// removeFrom removes what of a folder is to go, with all that is in it. A folder that is not there has nothing.
func removeFrom(dir string, goes func(entry fs.DirEntry) bool) error {
	entries, err := os.ReadDir(dir)
	if err = ignoreMissing(err); err != nil {
		return err
	}
	for _, entry := range entries {
		if goes(entry) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, entry.Name())))
		}
	}
	return err
}

// isHalfMade says whether the files of a folder are some of those that one was about to have, and not all: it never counted.
func isHalfMade(files map[string]string) bool {
	var config plan.Config
	if err := json.Unmarshal([]byte(files[configName]), &config); err != nil {
		return true
	}
	wanted, err := filesOf(config)
	if err != nil {
		return false
	}
	have := 0
	for name, text := range files {
		switch {
		case wanted[name] == text:
			have++
		case !strings.HasPrefix(filepath.Base(name), "."):
			return false
		}
	}
	return have < len(wanted)
}
