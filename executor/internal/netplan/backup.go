package netplan

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"multinic.dev/executor/internal/durable"
	"multinic.dev/executor/internal/plan"
)

// mostBackups is how many are kept of a NIC, beside what others had written; unfinished begins the names of those that are being made.
const (
	mostBackups = 10
	unfinished  = ".new."
	original    = "original"
)

// backUpFolder keeps the files of a NIC's folder. Somebody else's file was kept when it was taken over.
func (h *Host) backUpFolder(nic, name string) error {
	files, err := filesIn(h.at(filepath.Join(folder, name)))
	if err != nil {
		return err
	}
	if isHalfMade(files) {
		return nil
	}
	var config plan.Config
	if err := json.Unmarshal([]byte(files[configName]), &config); err == nil && config.Foreign != nil {
		return nil
	}
	return h.backUp(nic, files, false)
}

// backUp keeps files that are about to be replaced or removed, in a folder NIC.NUMBER.HASH, of which the highest number is the newest, or
// NIC.original.HASH, which is never removed, for what others had written. What is kept already is not kept twice, and the oldest that are
// too many go. It survives a power cut.
func (h *Host) backUp(nic string, files map[string]string, others bool) error {
	kept, err := h.backupsOf(nic)
	if err != nil {
		return err
	}
	number := 1
	if len(kept) > 0 {
		number = kept[len(kept)-1].number + 1
	}
	name := fmt.Sprintf("%s.%06d.%s", nic, number, hashOf(files))
	if others {
		name = fmt.Sprintf("%s.%s.%s", nic, original, hashOf(files))
	}
	if _, err := os.Stat(filepath.Join(h.backups, name)); others && err == nil {
		return nil
	}
	for i, one := range kept {
		switch {
		case others:
		case one.hash == hashOf(files) && i == len(kept)-1:
			return nil
		case one.hash == hashOf(files):
			h.before("name a backup anew")
			return h.rename(one.name, name)
		}
	}
	for ; !others && len(kept) >= mostBackups; kept = kept[1:] {
		h.before("remove a backup")
		if err := os.RemoveAll(filepath.Join(h.backups, kept[0].name)); err != nil {
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
	return h.rename(made, name)
}

func (h *Host) rename(from, to string) error {
	if err := durable.Rename(filepath.Join(h.backups, from), filepath.Join(h.backups, to)); err != nil {
		return fmt.Errorf("name the backup %s: %w", to, err)
	}
	return nil
}

// hashOf tells files from others.
func hashOf(files map[string]string) string {
	var all strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&all, "%q %q\n", name, files[name])
	}
	hash := sha256.Sum256([]byte(all.String()))
	return fmt.Sprintf("%x", hash[:6])
}

// backup is one that is numbered.
type backup struct {
	name   string
	number int
	hash   string
}

// backupsOf are the numbered backups of a NIC, the oldest first. What a process was making that was killed is removed.
func (h *Host) backupsOf(nic string) ([]backup, error) {
	entries, err := os.ReadDir(h.backups)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("find the backups of %s: %w", nic, err)
	}
	var kept []backup
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), unfinished) {
			if err := os.RemoveAll(filepath.Join(h.backups, entry.Name())); err != nil {
				return nil, fmt.Errorf("remove an unfinished backup: %w", err)
			}
		}
		parts := strings.Split(entry.Name(), ".")
		if len(parts) != 3 || parts[0] != nic {
			continue
		}
		if number, err := strconv.Atoi(parts[1]); err == nil {
			kept = append(kept, backup{name: entry.Name(), number: number, hash: parts[2]})
		}
	}
	slices.SortFunc(kept, func(a, b backup) int { return a.number - b.number })
	return kept, nil
}
