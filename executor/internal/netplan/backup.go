package netplan

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"multinic.dev/executor/internal/durable"
	"multinic.dev/executor/internal/plan"
)

// mostBackups is how many are kept of a NIC, and unfinished begins the names of those that are being made.
const (
	mostBackups = 10
	unfinished  = ".new."
)

// backUpFolder keeps the files of a NIC's folder. Somebody else's file was kept when it was taken over.
func (h *Host) backUpFolder(nic, name string) error {
	files, err := filesIn(h.at(filepath.Join(folder, name)))
	if err != nil {
		return err
	}
	var config plan.Config
	if err := json.Unmarshal([]byte(files[configName]), &config); err == nil && config.Foreign != nil {
		return nil
	}
	return h.backUp(nic, files)
}

// backUp keeps files that are about to be replaced or removed, in a folder NIC.TIME.HASH. What is kept already is not kept twice, and the
// oldest that are too many go. It survives a power cut.
func (h *Host) backUp(nic string, files map[string]string) error {
	var all strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&all, "%q %q\n", name, files[name])
	}
	hash := sha256.Sum256([]byte(all.String()))
	suffix := fmt.Sprintf(".%x", hash[:6])
	kept, err := filepath.Glob(filepath.Join(h.backups, nic+".*.*"))
	if err != nil {
		return fmt.Errorf("find the backups of %s: %w", nic, err)
	}
	if slices.ContainsFunc(kept, func(path string) bool { return strings.HasSuffix(path, suffix) }) {
		return nil
	}
	stale, err := filepath.Glob(filepath.Join(h.backups, unfinished+"*"))
	if err != nil {
		return fmt.Errorf("find the backups of %s: %w", nic, err)
	}
	for _, path := range stale { // Of a process that was killed.
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("remove an unfinished backup: %w", err)
		}
	}
	slices.Sort(kept) // By their time, therefore.
	for ; len(kept) >= mostBackups; kept = kept[1:] {
		h.before("remove a backup")
		if err := os.RemoveAll(kept[0]); err != nil {
			return fmt.Errorf("remove the oldest backup of %s: %w", nic, err)
		}
	}
	if err := durable.Folder(h.backups); err != nil {
		return fmt.Errorf("back up %s: %w", nic, err)
	}
	h.before("back up " + nic)
	made, err := durable.Tree(h.backups, unfinished, files)
	if err != nil {
		return fmt.Errorf("back up %s: %w", nic, err)
	}
	h.before("name a backup")
	name := nic + "." + time.Now().UTC().Format("20060102T150405.000Z") + suffix
	if err := durable.Rename(filepath.Join(h.backups, made), filepath.Join(h.backups, name)); err != nil {
		return fmt.Errorf("back up %s: %w", nic, err)
	}
	return nil
}
