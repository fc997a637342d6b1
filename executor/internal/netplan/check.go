package netplan

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"multinic.dev/executor/internal/netplan/render"
	"multinic.dev/executor/internal/plan"
)

// Check tries what the next boot would make of configurations, with the host's own netplan and the host's other files, and
// changes nothing. It returns, for each, why it cannot be persisted, or nil.
func (h *Host) Check(ctx context.Context, configs []plan.Config) []error {
	failed := make([]error, len(configs))
	before, definitions, err := h.define(ctx)
	h.hung = errors.Is(err, errHangs)
	if err != nil {
		return all(failed, err)
	}
	for i, config := range configs {
		failed[i] = errors.Join(h.claim(config), h.contradicted(config, definitions))
	}
	configs = h.placed(configs, definitions)
	if before, err = h.asItIs(ctx, before); err != nil {
		return all(failed, err)
	}
	if err := h.try(ctx, before, configs, failed); errors.Is(err, errHangs) {
		return all(failed, err) // Asked once for each of them, it would hang as often.
	} else if err != nil {
		// One of them must be to blame: each alone.
		for i, config := range configs {
			if failed[i] == nil {
				alone := make([]error, 1)
				failed[i] = errors.Join(h.try(ctx, before, []plan.Config{config}, alone), alone[0])
			}
		}
	}
	return failed
}

// asItIs is what netplan generates for others now. Without multinic's files it might be something else, where one of these is somebody
// else's, which says more than it should.
func (h *Host) asItIs(ctx context.Context, without output) (output, error) {
	persisted, err := h.Read()
	if err != nil {
		return nil, err
	}
	for _, config := range persisted {
		if config.Foreign != nil {
			out, err := h.generate(ctx, nil)
			if err != nil {
				return nil, fmt.Errorf("netplan refuses the host's files: %w: set them right first", err)
			}
			return out, nil
		}
	}
	return without, nil
}

// try generates what the next boot would make of configurations that have not failed, and checks it.
func (h *Host) try(ctx context.Context, before output, configs []plan.Config, failed []error) error {
	instead := map[string]string{}
	for i, config := range configs {
		if failed[i] == nil {
			number, _ := plan.Number(config.NIC)
			instead[render.YAMLPath(number)] = render.Files(config)[render.YAMLName]
		}
	}
	after, err := h.generate(ctx, instead)
	if err != nil {
		return fmt.Errorf("netplan refuses it: %w", err)
	}
	for i, config := range configs {
		if failed[i] == nil {
			failed[i] = render.Check(config, after.inRuntime())
		}
	}
	if path := firstForeignDifference(before, after); path != "" {
		return fmt.Errorf("netplan would make another /%s of the host's other files", path)
	}
	return nil
}

// inRuntime are the files for networkd, by their names.
func (o output) inRuntime() map[string]string {
	files := map[string]string{}
	for path, text := range o {
		if dir, name := filepath.Split(path); filepath.Clean(dir) == runtime {
			files[name] = text
		}
	}
	return files
}

// firstForeignDifference is the first path, but for multinic's, in which two outputs differ; empty: there is none.
func firstForeignDifference(before, after output) string {
	paths := maps.Clone(before)
	maps.Copy(paths, after)
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		if !isGenerated(filepath.Base(path)) && before[path] != after[path] {
			return path
		}
	}
	return ""
}

// isGenerated says whether a file is what netplan generates for one of multinic's interfaces.
func isGenerated(name string) bool {
	return render.IsOurs(name) && strings.HasPrefix(name, render.Generated(""))
}

// contradicted says which of the host's definitions is for a NIC as well; nil: none is.
func (h *Host) contradicted(config plan.Config, definitions []plan.Definition) error {
	for _, definition := range definitions {
		if h.takesDHCP && definition.IsStub() {
			continue
		}
		if definition.MAC == config.MAC || definition.MAC == "" && definition.ComesFirst(config.NIC) {
			return fmt.Errorf("%s speaks of %s (%s) as well: take that out", definition.File, config.NIC, config.MAC)
		}
	}
	return nil
}

// placed are configurations with what they need to go before the host's definitions for all NICs that are alike: these may be for a NIC by
// another of its names as well, which it has from before it was multinic's.
func (h *Host) placed(configs []plan.Config, definitions []plan.Definition) []plan.Config {
	isFirst := func(definition plan.Definition) bool { return definition.IsWide() && definition.First }
	all := slices.Clone(configs)
	for i := range all {
		all[i].First = all[i].Foreign == nil && slices.ContainsFunc(definitions, isFirst)
	}
	return all
}

// claim says why a NIC cannot be persisted where somebody else's files are.
func (h *Host) claim(config plan.Config) error {
	for path := range render.Links(config) {
		info, err := os.Lstat(h.at(path))
		if err != nil {
			if err := ignoreMissing(err); err != nil {
				return err
			}
			continue
		}
		if number, _ := plan.Number(config.NIC); path == render.YAMLPath(number) && info.Mode().IsRegular() {
			if is, err := h.foreign(number, info); err != nil || is.MAC == config.MAC {
				return err // It is taken over.
			}
		}
		target, _ := os.Readlink(h.at(path))
		if info.Mode().Type() != os.ModeSymlink || !strings.HasPrefix(target, h.target(path, config.NIC, "")+"/") {
			return fmt.Errorf("/%s is there already and is not multinic's: move it away", path)
		}
	}
	return nil
}

func all(failed []error, err error) []error {
	for i := range failed {
		failed[i] = err
	}
	return failed
}
