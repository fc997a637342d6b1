package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// needed are the modules without which the guest finds no disk.
func needed() []string {
	return []string{"virtio_pci", "virtio_blk", "ext4", "crc32c_generic", "crc32c-intel", "virtio_console"}
}

// makeInitrd makes an initrd of the agent, as its first process, and of the modules in a tree that the disk needs.
func makeInitrd(ctx context.Context, tree, agent, to string) error {
	folder, err := one(filepath.Join(tree, "lib/modules/*"))
	if err != nil {
		return err
	}
	modules, err := order(folder, needed())
	if err != nil {
		return err
	}
	program, err := os.ReadFile(agent)
	if err != nil {
		return fmt.Errorf("read the agent: %w", err)
	}
	var archive archive
	for _, name := range []string{"dev", "root", "modules"} {
		archive.add(name, fs.ModeDir|0o755, nil)
	}
	archive.add("init", 0o755, program)
	unpacked := to + ".module"
	for i, module := range modules {
		text, err := os.ReadFile(filepath.Join(folder, module))
		if err == nil && strings.HasSuffix(module, ".xz") {
			err = unpack(ctx, []string{"xz", "--decompress", "--stdout"}, text, unpacked)
			if err == nil {
				text, err = os.ReadFile(unpacked)
			}
			err = errors.Join(err, os.Remove(unpacked))
		}
		if err != nil {
			return fmt.Errorf("read the module %s: %w", module, err)
		}
		archive.add(fmt.Sprintf("modules/%03d.ko", i), 0o644, text)
	}
	if err := os.WriteFile(to, archive.bytes(), 0o600); err != nil {
		return fmt.Errorf("write the initrd: %w", err)
	}
	return nil
}

// one is the only path that matches a pattern.
func one(pattern string) (string, error) {
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("there should be one %s, and there are %q: %w", pattern, found, err)
	}
	return found[0], nil
}

// order lists the files of modules, each after those that it needs. What the kernel has built in is none, and what it
// does not know is not needed.
func order(folder string, modules []string) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(folder, "modules.dep"))
	if err != nil {
		return nil, fmt.Errorf("read what modules need: %w", err)
	}
	// kernel/fs/ext4/ext4.ko: kernel/lib/crc16.ko …, each of which needs what stands right of it.
	needs, files := map[string][]string{}, map[string]string{}
	for line := range strings.Lines(string(text)) {
		file, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		needs[file] = strings.Fields(rest)
		name, _, _ := strings.Cut(filepath.Base(file), ".")
		files[name] = file
	}
	var ordered []string
	for _, module := range modules {
		file, ok := files[module]
		if !ok {
			continue
		}
		for _, each := range append(slices.Collect(backward(needs[file])), file) {
			if !slices.Contains(ordered, each) {
				ordered = append(ordered, each)
			}
		}
	}
	return ordered, nil
}

func backward(list []string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for _, each := range slices.Backward(list) {
			if !yield(each) {
				return
			}
		}
	}
}

// archive is one of cpio's, in the form that the kernel reads ("newc").
type archive struct {
	text  bytes.Buffer
	files int
}

func (a *archive) add(name string, mode fs.FileMode, text []byte) {
	bits := uint32(mode.Perm()) | 0o100000
	if mode.IsDir() {
		bits = uint32(mode.Perm()) | 0o040000
	}
	a.entry(name, bits, text)
}

func (a *archive) entry(name string, bits uint32, text []byte) {
	a.files++
	fmt.Fprintf(&a.text, "070701")
	for _, field := range []int{a.files, int(bits), 0, 0, 1, 0, len(text), 0, 0, 0, 0, len(name) + 1, 0} {
		fmt.Fprintf(&a.text, "%08x", field)
	}
	a.text.WriteString(name + "\x00")
	a.align()
	a.text.Write(text)
	a.align()
}

func (a *archive) align() { a.text.Write(make([]byte, -a.text.Len()&3)) }

func (a *archive) bytes() []byte {
	a.entry("TRAILER!!!", 0, nil)
	return a.text.Bytes()
}
