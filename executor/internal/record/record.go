// Package record keeps the state file of the netlink backend: which card has which name, and what was last proved of it.
package record

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/renameio/v2"

	"multinic.dev/executor/internal/plan"
)

// version is the format of the file. It grows when an older executor could misread a newer file.
const version = 1

// fileName is the file's name in the state directory.
const fileName = "interfaces.json"

// Interface is one card that is multinic's.
type Interface struct {
	// MAC is the card's permanent address, six lower-case octets with colons. Unique in a record.
	MAC string `json:"mac"`
	// Name is the interface's name, such as "multinic0". Unique in a record.
	Name string `json:"name"`
	// Proved is what the kernel was last seen to be. Nil: the name is claimed, and nothing has been proved yet.
	Proved *plan.Spec `json:"proved,omitempty"`
}

// Record is the content of the file. Not safe for concurrent use: it belongs to the one goroutine that configures the
// node. Nobody else may write the file meanwhile.
type Record struct {
	path       string
	interfaces []Interface // ordered by MAC
}

// content is the file, as JSON.
type content struct {
	Version    int         `json:"version"`
	Interfaces []Interface `json:"interfaces"`
}

// Open reads the record in a state directory; a directory without one has an empty record. A file that cannot be
// understood is an error that names it, and stays as it is: the cards in it are configured, and forgetting them would
// make them look like somebody else's.
func Open(dir string) (*Record, error) {
	r := &Record{path: filepath.Join(dir, fileName)}
	data, err := os.ReadFile(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the record of this node's interfaces: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	var c content
	if err := decoder.Decode(&c); err != nil {
		return nil, fmt.Errorf("%s is damaged (%w): restore it, or move it away once no link is named multinic*", r.path, err)
	}
	if c.Version != version {
		return nil, fmt.Errorf("%s has format %d and this executor knows only %d: run the version that wrote it", r.path, c.Version, version)
	}
	r.interfaces = c.Interfaces
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("%s is damaged (%w): restore it, or move it away once no link is named multinic*", r.path, err)
	}
	return r, nil
}

// check says what in the record cannot be.
func (r *Record) check() error {
	slices.SortFunc(r.interfaces, func(a, b Interface) int { return cmp.Compare(a.MAC, b.MAC) })
	names := map[string]string{}
	for i, each := range r.interfaces {
		switch {
		case each.MAC == "" || each.Name == "":
			return fmt.Errorf("an interface with MAC %q and name %q", each.MAC, each.Name)
		case i > 0 && r.interfaces[i-1].MAC == each.MAC:
			return fmt.Errorf("%s stands in it twice", each.MAC)
		case names[each.Name] != "":
			return fmt.Errorf("%s is the name of both %s and %s", each.Name, names[each.Name], each.MAC)
		}
		names[each.Name] = each.MAC
	}
	return nil
}

// Interfaces returns a copy of all interfaces, ordered by MAC.
func (r *Record) Interfaces() []Interface { return slices.Clone(r.interfaces) }

// Claim writes down that a card gets a name, before anything is done to it: an executor that is killed in the middle
// then still knows the card as its own. A card that has that name already costs nothing; one that has another name, or
// a name that another card has, is an error.
func (r *Record) Claim(mac, name string) error {
	for _, each := range r.interfaces {
		if each.MAC == mac && each.Name == name {
			return nil
		}
	}
	return r.write(append(r.Interfaces(), Interface{MAC: mac, Name: name}))
}

// Prove writes down what the kernel was seen to be for a claimed card. The same again costs nothing.
func (r *Record) Prove(mac string, spec plan.Spec) error {
	interfaces := r.Interfaces()
	i := slices.IndexFunc(interfaces, func(each Interface) bool { return each.MAC == mac })
	if i < 0 {
		return fmt.Errorf("record what %s was proved to be: it was never claimed", mac)
	}
	if was := interfaces[i].Proved; was != nil && *was == spec {
		return nil
	}
	interfaces[i].Proved = &spec
	return r.write(interfaces)
}

// write puts a new record in the place of the old one, on the disk and then in memory: the old one stays whole, in
// both, until the new one is safe.
func (r *Record) write(interfaces []Interface) error {
	next := Record{path: r.path, interfaces: interfaces}
	if err := next.check(); err != nil {
		return fmt.Errorf("write %s: %w", r.path, err)
	}
	data, err := json.MarshalIndent(content{Version: version, Interfaces: next.interfaces}, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", r.path, err)
	}
	// renameio syncs the file before it renames it; the rename itself is safe once the directory is synced.
	if err := renameio.WriteFile(r.path, append(data, '\n'), 0o600, renameio.WithTempDir(filepath.Dir(r.path))); err != nil {
		return fmt.Errorf("write %s: %w", r.path, err)
	}
	if err := syncDir(filepath.Dir(r.path)); err != nil {
		return fmt.Errorf("write %s: %w", r.path, err)
	}
	r.interfaces = next.interfaces
	return nil
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync the directory: %w", err)
	}
	return errors.Join(dir.Sync(), dir.Close())
}
