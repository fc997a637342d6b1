package layout_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestBreakingTheProtocolIsRefused breaks a copy of the protocol, one way at a time, and asks buf with the repository's own
// settings and baseline, as `make lint` does. Programs of two versions meet during every upgrade.
func TestBreakingTheProtocolIsRefused(t *testing.T) {
	buf := bufProgram(t)
	for _, change := range []struct {
		name, file, from, to string
		complaint            string // empty: must be accepted
	}{
		{name: "nothing", file: "work.proto"},
		{
			name: "a field gets another number", file: "work.proto", complaint: `Previously present field "1" with name "address" on message "InterfaceSpec" was deleted`,
			from: "string address = 1;", to: "string address = 9;",
		},
		{
			name: "a field is deleted", file: "work.proto", complaint: `Previously present field "2" with name "gateway" on message "InterfaceSpec" was deleted`,
			from: "string gateway = 2;", to: "",
		},
		{
			name: "a field gets another name in JSON", file: "work.proto", complaint: `option "json_name"`,
			from: "uint32 mtu = 4;", to: `uint32 mtu = 4 [json_name = "bytes"];`,
		},
		{
			name: "a field gets another type", file: "work.proto", complaint: `Field "1" with name "generation" on message "WorkSet" changed type`,
			from: "uint64 generation = 1;", to: "string generation = 1;",
		},
		{
			name: "a state is deleted", file: "work.proto", complaint: `Previously present enum value "6" on enum "State" was deleted`,
			from: "STATE_UNSUPPORTED = 6;", to: "",
		},
		{
			name: "a method is deleted", file: "fleet.proto", complaint: `Previously present RPC "ListNodes"`,
			from: "rpc ListNodes(ListNodesRequest) returns (ListNodesResponse);", to: "",
		},
		{
			name: "a field is added", file: "work.proto",
			from: "uint32 mtu = 4;", to: "uint32 mtu = 4;\n  // Something new.\n  string something = 5;",
		},
		{
			name: "a field is deleted, its number and name reserved", file: "work.proto",
			from: "string gateway = 2;", to: "reserved 2;\n  reserved \"gateway\";",
		},
	} {
		t.Run(change.name, func(t *testing.T) {
			copied := copyProtocol(t)
			if change.from != "" {
				edit(t, filepath.Join(copied, "proto", "multinic", "v1", change.file), change.from, change.to)
			}
			command := exec.CommandContext(t.Context(), buf, "breaking", "--against", filepath.Join("proto", "baseline.binpb"))
			command.Dir = copied
			said, err := command.CombinedOutput()
			var exit *exec.ExitError
			switch {
			case err != nil && !errors.As(err, &exit):
				t.Fatal(err)
			case change.complaint == "" && err != nil:
				t.Errorf("refused: %s", said)
			case change.complaint != "" && (exit == nil || exit.ExitCode() != 100 || !bytes.Contains(said, []byte(change.complaint))):
				t.Errorf("want exit 100 and %q, got %v and:\n%s", change.complaint, err, said)
			}
		})
	}
}

// bufProgram returns the pinned buf: where the Makefile says it is, or built now.
func bufProgram(t *testing.T) string {
	t.Helper()
	if named := os.Getenv("BUF"); named != "" {
		return named
	}
	command := exec.CommandContext(t.Context(), filepath.Join("..", "..", "tools", "install"), "buf")
	command.Stderr = os.Stderr
	folder, err := command.Output()
	if err != nil {
		t.Fatalf("build buf: %v", err)
	}

	return filepath.Join(strings.TrimSpace(string(folder)), "buf")
}

// copyProtocol copies all that buf needs of this repository into a folder of the test's own.
func copyProtocol(t *testing.T) string {
	t.Helper()
	root, copied := filepath.Join("..", ".."), t.TempDir()
	names := []string{"buf.yaml", "proto/baseline.binpb"}
	sources, err := fs.Glob(os.DirFS(root), "proto/multinic/*/*.proto")
	if err != nil || len(sources) == 0 {
		t.Fatalf("found no protocol: %v", err)
	}
	for _, name := range append(names, sources...) {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(copied, filepath.Dir(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(copied, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}

	return copied
}

// edit replaces the one place where from stands.
func edit(t *testing.T, path, from, to string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if count := strings.Count(string(text), from); count != 1 {
		t.Fatalf("%q stands %d times in %s, want once", from, count, path)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), from, to, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}
