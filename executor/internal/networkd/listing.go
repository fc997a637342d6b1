package networkd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	securejoin "github.com/cyphar/filepath-securejoin"
	"golang.org/x/sys/unix"

	"multinic.dev/executor/internal/durable"
	"multinic.dev/executor/internal/hostroot"
	"multinic.dev/executor/internal/netplan/render"
)

// listingPath is where it is kept what networkd had to read when it was started, below the host's root. It is gone after a boot.
const listingPath = "run/multinic/networkd.json"

// mostLinks is how deep folders are looked into; networkd's have one level.
const mostLinks = 4

// listing is all that networkd may read but for what is multinic's, each file and folder with what changes when it does, or is replaced.
type listing map[string]string

// kept is a listing of what a run of networkd had to read when it was started.
type kept struct {
	Run   string  `json:"run"`
	Files listing `json:"files"`
}

// unchanged is an error if anything that networkd reads, but for multinic's, may be another than when it was started. What is gone since
// then leaves no trace but in its folder, which changes with multinic's own files too. So a listing is made before the first of those,
// while no folder is newer than networkd, and is compared with from then on.
func (m *Manager) unchanged(s service) error {
	is, newest, at, err := m.list()
	if err != nil {
		return err
	}
	was, err := m.keptListing()
	if err != nil {
		return err
	}
	if was.Run == s.id {
		return differs(was.Files, is)
	}
	if !newest.Before(s.started) {
		return fmt.Errorf("/%s was changed after it was started, and it might set up what that is for: start it anew", at)
	}
	return m.keep(kept{Run: s.id, Files: is})
}

// differs is an error that names the first path in which two listings differ.
func differs(was, is listing) error {
	all := maps.Clone(was)
	maps.Copy(all, is)
	for _, path := range slices.Sorted(maps.Keys(all)) {
		if was[path] != is[path] {
			return fmt.Errorf("/%s was changed after it was started, and it might set up what that is for: start it anew", path)
		}
	}
	return nil
}

func (m *Manager) keptListing() (was kept, err error) {
	data, err := os.ReadFile(m.at(listingPath))
	if errors.Is(err, fs.ErrNotExist) {
		return kept{}, nil
	}
	if err != nil {
		return kept{}, fmt.Errorf("find out what it has read: %w", err)
	}
	if err := json.Unmarshal(data, &was); err != nil {
		return kept{}, nil //nolint:nilerr // it is made anew, if it can be
	}
	return was, nil
}

func (m *Manager) keep(what kept) error {
	data, err := json.Marshal(what)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(m.at(listingPath)), 0o700)
	}
	if err == nil {
		err = durable.WriteShared(m.at(listingPath), data)
	}
	if err != nil {
		return fmt.Errorf("keep what it has read: %w", err)
	}
	return nil
}

// list lists what networkd may read, and says what of it is the newest, and of when.
func (m *Manager) list() (all listing, newest time.Time, at string, err error) {
	all = listing{}
	l := lister{m: m, all: all}
	for _, dir := range hostroot.SystemdFolders() {
		for _, name := range []string{"networkd.conf", "networkd.conf.d", "network"} {
			if err := l.add(filepath.Join(dir, name), 0); err != nil {
				return nil, time.Time{}, "", fmt.Errorf("find out what it has read: %w", err)
			}
		}
	}
	// Whatever was in it and is gone would be seen by it; that of /run changes for other reasons.
	if err := l.look("etc/systemd"); err != nil {
		return nil, time.Time{}, "", fmt.Errorf("find out what it has read: %w", err)
	}
	return all, l.newest, l.at, nil
}

type lister struct {
	m      *Manager
	all    listing
	newest time.Time
	at     string
}

// look notes how new a path is, which may be a link.
func (l *lister) look(path string) error {
	for _, follows := range []bool{false, true} {
		whole := l.m.at(path)
		if follows {
			var err error
			if whole, err = securejoin.SecureJoin(l.m.root, path); err != nil {
				return err //nolint:wrapcheck // the caller says what for
			}
		}
		var status unix.Stat_t
		err := unix.Lstat(whole, &status)
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		if err != nil {
			return &fs.PathError{Op: "lstat", Path: whole, Err: err}
		}
		if changed := time.Unix(status.Ctim.Unix()); changed.After(l.newest) {
			l.newest, l.at = changed, path
		}
	}
	return nil
}

// add lists a path, with all that is in it, wherever it leads.
func (l *lister) add(path string, depth int) error {
	if err := l.look(path); err != nil {
		return err
	}
	whole, err := securejoin.SecureJoin(l.m.root, path)
	if err != nil {
		return err //nolint:wrapcheck // the caller says what for
	}
	var itself, target unix.Stat_t
	if err := unix.Lstat(l.m.at(path), &itself); err != nil {
		return nil //nolint:nilerr // it is not there
	}
	state := fmt.Sprint(itself.Mode, itself.Size, itself.Mtim, itself.Ctim)
	if err := unix.Lstat(whole, &target); err != nil {
		l.all[path] = state // It leads nowhere.
		return nil          //nolint:nilerr // as that says
	}
	if target.Mode&unix.S_IFMT != unix.S_IFDIR {
		l.all[path] = state + fmt.Sprint(target.Mode, target.Size, target.Mtim, target.Ctim)
		return nil
	}
	// A folder's own times change with multinic's files; what is in it tells.
	l.all[path] = fmt.Sprint(target.Mode)
	entries, err := os.ReadDir(whole)
	if err != nil || depth == mostLinks {
		return err //nolint:wrapcheck // the caller says what for
	}
	for _, entry := range entries {
		// What else there may be, such as what a writer that was killed has left, is read by nobody.
		isRead := slices.Contains([]string{".network", ".netdev", ".link", ".conf", ".d"}, filepath.Ext(entry.Name()))
		if render.IsOurs(entry.Name()) || !isRead {
			continue
		}
		if err := l.add(filepath.Join(path, entry.Name()), depth+1); err != nil {
			return err
		}
	}
	return nil
}
