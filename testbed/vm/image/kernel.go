package image

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
)

// Where the header of a kernel, as Debian ships it, says what is in it: see the kernel's Documentation/arch/x86/boot.rst.
const (
	setupSectors  = 0x1f1
	payloadOffset = 0x248
	payloadLength = 0x24c
	headerEnd     = 0x250
	sectorSize    = 512
)

// packed are the ways in which kernels are compressed: how it begins, and who undoes it.
func packed() map[string][]string {
	return map[string][]string{
		"\xfd7zXZ\x00":     {"xz", "--decompress", "--stdout"},
		"\x28\xb5\x2f\xfd": {"zstd", "--decompress", "--stdout"},
		"\x02\x21\x4c\x18": {"lz4", "-d", "-c"},
	}
}

// unpackKernel makes of a kernel that decompresses itself one that is as it runs, which takes an emulated processor seconds.
func unpackKernel(ctx context.Context, from, to string) error {
	whole, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("read the kernel: %w", err)
	}
	if len(whole) < headerEnd {
		return errors.New("the kernel is too short to be one")
	}
	start := (int(whole[setupSectors])+1)*sectorSize + int(binary.LittleEndian.Uint32(whole[payloadOffset:]))
	// Its length is behind it, as the decompressor in the kernel wants it and the programs do not.
	end := start + int(binary.LittleEndian.Uint32(whole[payloadLength:])) - 4
	if start >= end || end > len(whole) {
		return errors.New("the kernel's header says nothing that could be")
	}
	for magic, program := range packed() {
		if payload := whole[start:end]; bytes.HasPrefix(payload, []byte(magic)) {
			return unpack(ctx, program, payload, to)
		}
	}
	return fmt.Errorf("the kernel is compressed in a way that is not known here: it begins with % x", whole[start:start+8])
}

func unpack(ctx context.Context, program []string, packed []byte, to string) error {
	cmd := exec.CommandContext(ctx, program[0], program[1:]...)
	var said bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(packed), &said
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("decompress with %s: %w: %s", program[0], err, &said)
	}
	if err := os.WriteFile(to, out, 0o600); err != nil {
		return fmt.Errorf("write what was decompressed: %w", err)
	}
	return nil
}
