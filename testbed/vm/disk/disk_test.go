package disk_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"multinic.dev/testbed/vm/disk"
)

const size = 16 * 4096

func newDisk(t *testing.T) (*disk.Disk, []byte) {
	t.Helper()
	base := make([]byte, size)
	for i := range size / 2 {
		base[i] = byte(i / 7)
	}
	file := filepath.Join(t.TempDir(), "base")
	if err := os.WriteFile(file, base, 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := disk.Open(file, filepath.Join(t.TempDir(), "layer"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		now, err := os.ReadFile(file)
		if err := errors.Join(err, d.Close()); err != nil || !bytes.Equal(now, base) {
			t.Errorf("error %v, or what the disk began as was changed", err)
		}
	})
	return d, bytes.Clone(base)
}

// has says whether the disk has a content, read in two ways.
func has(t *testing.T, d *disk.Disk, want []byte) {
	t.Helper()
	got := make([]byte, size)
	if _, err := d.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("error %v, or the disk has something else", err)
	}
	part := make([]byte, 5000)
	if _, err := d.ReadAt(part, 3333); err != nil || !bytes.Equal(part, want[3333:8333]) {
		t.Fatalf("error %v, or the disk has something else in a part", err)
	}
}

func TestADiskHasWhatWasWrittenAndAfterAPowerCutWhatWasFlushed(t *testing.T) {
	d, content := newDisk(t)
	durable := bytes.Clone(content)
	chance := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		switch chance.IntN(20) {
		case 0:
			if err := d.Flush(); err != nil {
				t.Fatal(err)
			}
			durable = bytes.Clone(content)
		case 1:
			d.CutPower()
			content = bytes.Clone(durable)
		case 2:
			block := chance.IntN(size / 4096)
			if err := d.FlushRange(int64(block)*4096, 4096); err != nil {
				t.Fatal(err)
			}
			copy(durable[block*4096:][:4096], content[block*4096:])
		default:
			text := make([]byte, 1+chance.IntN(9000))
			for i := range text {
				text[i] = byte(chance.Uint32())
			}
			at := chance.IntN(size - len(text))
			if _, err := d.WriteAt(text, int64(at)); err != nil {
				t.Fatal(err)
			}
			copy(content[at:], text)
		}
		has(t, d, content)
	}
	if err := d.Flush(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "whole")
	if err := d.WriteTo(file); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, content) {
		t.Errorf("error %v, or the file has something else", err)
	}
	if _, err := d.WriteAt([]byte("in the cache"), 0); err != nil {
		t.Fatal(err)
	}
	fork, err := d.Fork(filepath.Join(t.TempDir(), "fork"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = fork.Close() }()
	if err := d.Flush(); err != nil {
		t.Fatal(err)
	}
	has(t, fork, content)
}

func TestADiskEndsWhereItEnds(t *testing.T) {
	d, content := newDisk(t)
	if _, err := d.WriteAt(make([]byte, 4096), size-4095); err == nil {
		t.Error("it was written beyond its end")
	}
	if _, err := d.ReadAt(make([]byte, 4096), size-4095); err == nil {
		t.Error("it was read beyond its end")
	}
	has(t, d, content)
}

func TestWhoeverWatchesADiskSeesEachChangeOfWhatIsDurable(t *testing.T) {
	d, content := newDisk(t)
	write := func(text string, at int64) {
		t.Helper()
		if _, err := d.WriteAt([]byte(text), at); err != nil {
			t.Fatal(err)
		}
		copy(content[at:], text)
	}
	flush := func() {
		t.Helper()
		if err := d.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	write("before", 4090) // In two blocks.
	mirror, calls := filepath.Join(t.TempDir(), "mirror"), 0
	err := d.Watch(mirror, func() {
		calls++
		if got, err := os.ReadFile(mirror); err != nil || !bytes.Equal(got, content) {
			t.Errorf("error %v, or the mirror has something else", err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	flush()
	flush() // It has nothing to do.
	write("later", 9000)
	if err := errors.Join(d.FlushRange(0, 4096), d.FlushRange(8192, 4096)); err != nil || calls != 2 {
		t.Errorf("error %v, or there were %d calls", err, calls)
	}
	d.Unwatch()
	write("last", 0)
	flush()
	if calls != 2 {
		t.Errorf("there were %d calls", calls)
	}
}
