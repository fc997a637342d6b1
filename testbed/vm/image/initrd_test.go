package image

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestModulesComeAfterWhatTheyNeed(t *testing.T) {
	folder := t.TempDir()
	const needs = `kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko kernel/lib/crc16.ko
kernel/fs/jbd2/jbd2.ko:
kernel/lib/crc16.ko:
kernel/drivers/block/virtio_blk.ko.xz: kernel/drivers/virtio/virtio_ring.ko.xz kernel/drivers/virtio/virtio.ko.xz
kernel/drivers/virtio/virtio_ring.ko.xz: kernel/drivers/virtio/virtio.ko.xz
kernel/drivers/virtio/virtio.ko.xz:
kernel/net/8021q/8021q.ko.xz:
`
	if err := os.WriteFile(filepath.Join(folder, "modules.dep"), []byte(needs), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := order(folder, []string{"virtio_blk", "built_in", "ext4"})
	want := strings.Fields("kernel/drivers/virtio/virtio.ko.xz kernel/drivers/virtio/virtio_ring.ko.xz kernel/drivers/block/virtio_blk.ko.xz " +
		"kernel/lib/crc16.ko kernel/fs/jbd2/jbd2.ko kernel/fs/ext4/ext4.ko")
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("error %v, and the order is\n%s", err, strings.Join(got, "\n"))
	}
}

func TestAKernelThatIsNoneIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kernel")
	for text, want := range map[string]string{
		"":                        "too short",
		strings.Repeat("x", 4096): "nothing that could be",
		strings.Repeat("\x00", 0x1f1) + "\x00" + strings.Repeat("\x00", 0x24c-0x1f2) + "\x20" + strings.Repeat("\x00", 4096): "not known here",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := unpackKernel(t.Context(), file, file+".unpacked"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, not %q", err, want)
		}
	}
}
