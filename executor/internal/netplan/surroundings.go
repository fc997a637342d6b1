package netplan

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	securejoin "github.com/cyphar/filepath-securejoin"
	"golang.org/x/sys/unix"

	"multinic.dev/executor/internal/hostroot"
	"multinic.dev/executor/internal/netplan/render"
	"multinic.dev/executor/internal/plan"
)

// predecessor is the name of the program that wrote files for multinic's NICs before this one.
const predecessor = "multinic-agent"

// Surroundings adds to what was read of a kernel what the host's configuration says of NICs that are not multinic's, and whether the
// predecessor's agent runs. What netplan does not say, because it refuses the host's files or is not there, is not known: Check says
// why, of the NICs for which it matters, and the others must not suffer from it.
func (h *Host) Surroundings(ctx context.Context, kernel *plan.Kernel) (err error) {
	if kernel.Rival, err = h.rival(); err != nil {
		return err
	}
	kernel.TakeDHCP = h.takesDHCP
	if h.hung {
		return nil // The node is looked at often, and each time would be as long.
	}
	// The node is looked at whenever something happens to its links, and netplan is asked only when its files are others.
	definitions, err := h.definitions(ctx)
	if err != nil {
		h.hung = errors.Is(err, errHangs)
		return nil
	}
	kernel.Definitions = definitions
	return nil
}

// definitions are what the host's files say of NICs, but for multinic's.
func (h *Host) definitions(ctx context.Context) ([]plan.Definition, error) {
	state, err := h.state()
	if err != nil {
		return nil, err
	}
	if state == h.defined.state {
		return h.defined.all, nil
	}
	_, all, err := h.define(ctx)
	return all, err
}

// define asks netplan what it generates without multinic's files, and keeps the definitions in that for as long as nothing changes.
func (h *Host) define(ctx context.Context) (output, []plan.Definition, error) {
	state, err := h.state()
	if err != nil {
		return nil, nil, err
	}
	out, err := h.generateWithout(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("netplan refuses the host's other files, without multinic's: %w: set them right first", err)
	}
	all, err := h.definitionsIn(out)
	if err != nil {
		return nil, nil, err
	}
	h.defined = defined{state: state, all: all}
	return out, all, nil
}

// networkdFolders are where networkd and udev look for files, the one that counts first.
func networkdFolders() []string {
	var all []string
	for _, dir := range hostroot.SystemdFolders() {
		all = append(all, filepath.Join(dir, "network"))
	}
	return all
}

// defined are the definitions that were found when the host's files were in a state.
type defined struct {
	state string
	all   []plan.Definition
}

// state changes whenever a file does from which definitions are read, but for multinic's.
func (h *Host) state() (string, error) {
	var state strings.Builder
	for _, dir := range append(folders(), networkdFolders()...) {
		entries, err := os.ReadDir(h.at(dir))
		if err = ignoreMissing(err); err != nil {
			return "", err
		}
		for _, entry := range entries {
			path := filepath.Join(dir, entry.Name())
			isOthers := slices.Contains(folders(), dir) && filepath.Ext(path) != ".yaml" // Netplan's own program, for instance.
			if isOthers || render.IsOurs(entry.Name()) || isYAMLPath(path) {
				continue
			}
			whole, err := securejoin.SecureJoin(h.root, path)
			if err != nil {
				return "", fmt.Errorf("read the host's files: %w", err)
			}
			var status unix.Stat_t
			if err := unix.Stat(whole, &status); err == nil { // Else it is gone meanwhile, or leads nowhere.
				fmt.Fprintln(&state, path, status.Size, status.Mtim, status.Ctim)
			}
		}
	}
	return state.String(), nil
}

// isYAMLPath says whether a path is where netplan looks for one of multinic's NICs.
func isYAMLPath(path string) bool {
	for number := range plan.Interfaces {
		if path == render.YAMLPath(number) {
			return true
		}
	}
	return false
}

// rival looks for the predecessor's agent among the host's processes. One of a host whose /proc is not there is not seen.
func (h *Host) rival() (string, error) {
	entries, err := os.ReadDir(h.at("proc"))
	if err = ignoreMissing(err); err != nil {
		return "", err
	}
	for _, entry := range entries {
		if _, err := strconv.Atoi(entry.Name()); err != nil {
			continue
		}
		// Which may have ended meanwhile. Nobody but root configures NICs, and others may call themselves what they like.
		var status unix.Stat_t
		if err := unix.Stat(h.at(filepath.Join("proc", entry.Name())), &status); err != nil || status.Uid != 0 {
			continue
		}
		if name, _ := os.ReadFile(h.at(filepath.Join("proc", entry.Name(), "comm"))); strings.TrimSpace(string(name)) == predecessor {
			return fmt.Sprintf("%s (process %s)", predecessor, entry.Name()), nil
		}
	}
	return "", nil
}

// generateWithout has netplan generate what it would without multinic's files; or, where the host's other files need them, with them.
func (h *Host) generateWithout(ctx context.Context) (output, error) {
	without := map[string]string{}
	for number := range plan.Interfaces {
		without[render.YAMLPath(number)] = ""
	}
	out, err := h.generate(ctx, without)
	if err == nil || errors.Is(err, errHangs) {
		return out, err
	}
	with, withErr := h.generate(ctx, nil)
	if withErr != nil {
		return nil, err
	}
	maps.DeleteFunc(with, func(path, _ string) bool { return isGenerated(filepath.Base(path)) })
	return with, nil
}

// definitionsIn are what the host's files say of NICs, but for multinic's: those in what netplan generates without them, and those in
// networkd's own folders.
func (h *Host) definitionsIn(out output) ([]plan.Definition, error) {
	files := map[string]string{}
	where := map[string]string{}
	for path, text := range out {
		files[filepath.Base(path)], where[filepath.Base(path)] = text, "/"+path
	}
	ids, err := h.filesOfIDs()
	if err != nil {
		return nil, err
	}
	for name := range files {
		id := strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(name, render.Generated("")), "netplan-"), filepath.Ext(name))
		if file, known := ids[id]; known {
			where[name] = fmt.Sprintf("%s (%s)", file, id)
		}
	}
	// A file in the first folder that has its name counts.
	for _, dir := range networkdFolders() {
		entries, err := os.ReadDir(h.at(dir))
		if err = ignoreMissing(err); err != nil {
			return nil, err
		}
		for _, entry := range entries {
			if _, known := files[entry.Name()]; known || entry.IsDir() || render.IsOurs(entry.Name()) || strings.HasPrefix(entry.Name(), render.Generated("")) {
				continue
			}
			data, err := h.readWithin(filepath.Join(dir, entry.Name()))
			if err = ignoreMissing(err); err != nil {
				return nil, err
			}
			files[entry.Name()], where[entry.Name()] = string(data), "/"+filepath.Join(dir, entry.Name())
		}
	}
	var found []plan.Definition
	for name, text := range files {
		for _, definition := range render.Definitions(name, text) {
			definition.File = where[name]
			found = append(found, definition)
		}
	}
	// A .link says of a NIC what its .network says, and netplan makes both.
	slices.SortFunc(found, func(a, b plan.Definition) int { return strings.Compare(a.File, b.File) })
	return found, nil
}
