// Package deploy_test holds the deploy scripts to what is promised of them, with stand-ins for all that builds images, brings them
// anywhere and talks to a cluster.
package deploy_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"multinic.dev/testbed/sandbox"
)

// scripts is the folder of the scripts.
const scripts = "../../deploy"

// variables are what a script reads of the environment, as it writes them.
var variables = regexp.MustCompile(`\$\{!?([A-Z][A-Z_]+)`)

// identity is the hash that the images' archives have for their configuration.
var identity = strings.Repeat("ab", 32)

// tools are the programs that the scripts call and that are the machine's own.
func tools() []string {
	return []string{
		"awk", "bash", "cat", "chmod", "cp", "cut", "date", "dirname", "env", "grep", "gzip", "mkdir", "mktemp", "mv", "paste", "rm", "sed", "sh", "sort", "stat", "tar", "tr", "wc",
	}
}

// stand is a machine as the scripts see it: a PATH with the tools, and with programs that stand-ins play. All of it is the test's.
type stand struct {
	t      *testing.T
	folder string
	rules  []string
}

// newStand makes a machine of the name node-1, which has programs, and a cluster that has that node and neither namespace nor release.
func newStand(t *testing.T, programs ...string) *stand {
	t.Helper()
	s := &stand{t: t, folder: t.TempDir()}
	standIn, err := filepath.Abs("testdata/stand-in")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(s.path("bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tool := range tools() {
		path, err := exec.LookPath(tool)
		if err != nil {
			t.Fatalf("the scripts need %s: %v", tool, err)
		}
		s.link(path, tool)
	}
	for _, program := range append([]string{"uname", "git"}, programs...) {
		s.link(standIn, program)
	}
	s.write("image.tar", archive(t))
	s.write("password", []byte("hunter2\n"))
	s.answer("*", 0, "")
	s.answer("uname -m", 0, "x86_64\n")
	s.answer("uname -n", 0, "node-1\n")
	s.answer("git*", 0, "v9\n")
	s.answer("kubectl config current-context", 0, "lab\n")
	s.answer("kubectl*get nodes*", 0, "node-1 amd64\n")
	s.answer("helm status*", 1, "Error: release: not found\n")
	for _, program := range []string{"docker", "nerdctl"} {
		var digests strings.Builder
		for _, name := range []string{"dispatcher", "executor"} {
			fmt.Fprintf(&digests, "elsewhere.test/multinic-%s@sha256:%064d\nregistry.test/team/multinic-%s@sha256:%064d\n", name, 1, name, 7)
		}
		s.answer(program+" image inspect*", 0, digests.String())
	}

	return s
}

// archive is that of an image as both tiers' are: one layer, which has the programs.
func archive(t *testing.T) []byte {
	t.Helper()
	layer := tarOf(t, map[string]string{"multinic-dispatcher": "a dispatcher", "multinic-executor": "an executor"})

	return tarOf(t, map[string]string{
		"layer.tar":     string(layer),
		"manifest.json": fmt.Sprintf(`[{"Config":"%s.json","RepoTags":["some"],"Layers":["layer.tar"]}]`, identity),
	})
}

func tarOf(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var text bytes.Buffer
	w := tar.NewWriter(&text)
	for name, content := range files {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}

	return text.Bytes()
}

func gzipped(t *testing.T, content []byte) []byte {
	t.Helper()
	var text bytes.Buffer
	w := gzip.NewWriter(&text)
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}

	return text.Bytes()
}

// path is that of a file of the stand.
func (s *stand) path(name string) string { return filepath.Join(s.folder, name) }

func (s *stand) link(target, name string) {
	s.t.Helper()
	if err := os.Symlink(target, s.path("bin/"+name)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stand) write(name string, text []byte) {
	s.t.Helper()
	if err := os.WriteFile(s.path(name), text, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// answer has calls that match a pattern of the shell's print a text, on stderr if the code is not 0, and exit with the code. The newest
// answer that matches counts.
func (s *stand) answer(pattern string, code int, text string) {
	s.t.Helper()
	name := fmt.Sprintf("answer-%d", len(s.rules))
	s.write(name, []byte(text))
	s.rules = append(s.rules, fmt.Sprintf("%s\t%d\t%s\n", pattern, code, s.path(name)))
}

// installed has the cluster know the namespace, and a release in a state.
func (s *stand) installed(state string) {
	s.t.Helper()
	s.answer("kubectl*get namespace*", 0, "namespace/multinic\n")
	s.answer("helm status*", 0, "NAME: multinic\nSTATUS: "+state+"\nREVISION: 1\n")
}

// result is what a script has said and done.
type result struct {
	code                  int
	stdout, stderr, calls string
}

// run runs a script with settings of its own, and reads all that it has said and done, without names that are others each time.
func (s *stand) run(script string, arguments []string, settings ...string) result {
	s.t.Helper()
	newestFirst := slices.Clone(s.rules)
	slices.Reverse(newestFirst)
	s.write("rules", []byte(strings.Join(newestFirst, "")))
	for _, name := range []string{"calls", "read", "environments", "settings.yaml"} {
		s.write(name, nil)
	}
	path, err := filepath.Abs(filepath.Join(scripts, script))
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.CommandContext(s.t.Context(), path, arguments...)
	cmd.Dir = s.folder
	cmd.Env = append([]string{
		"PATH=" + s.path("bin"), "STAND=" + s.folder, "TMPDIR=" + s.folder, "VERSION=v1.2.3", "REVISION=0123abc", "SOURCE_DATE_EPOCH=1700000000",
	}, settings...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		s.t.Fatalf("run %s: %v", script, err)
	}
	code := sandbox.ExitCode(err)
	if left, err := filepath.Glob(s.path("*.????????")); err != nil || len(left) > 0 {
		s.t.Errorf("%s leaves %q behind (%v)", script, left, err)
	}

	return result{code: code, stdout: s.plain(stdout.String()), stderr: s.plain(stderr.String()), calls: s.plain(s.read("calls"))}
}

// read is what a file of the stand has.
func (s *stand) read(name string) string {
	s.t.Helper()
	text, err := os.ReadFile(s.path(name))
	if err != nil {
		s.t.Fatal(err)
	}

	return string(text)
}

// plain is a text without names that are others each time.
func (s *stand) plain(text string) string {
	s.t.Helper()
	top, err := filepath.Abs("../..")
	if err != nil {
		s.t.Fatal(err)
	}
	text = regexp.MustCompile(regexp.QuoteMeta(s.folder)+`/(deploy|images)\.\w{8}`).ReplaceAllString(text, "WORK")
	text = regexp.MustCompile(` --ulimit \S+`).ReplaceAllString(text, "")

	return strings.NewReplacer(s.folder, "STAND", top, "TOP").Replace(text)
}

// database are settings that are enough for an installation.
func (s *stand) database(more ...string) []string {
	return append([]string{"DB_HOST=db.test", "DB_USER=reader", "DB_NAME=nics", "DB_PASSWORD_FILE=" + s.path("password"), "IMAGE_TAG=dev"}, more...)
}
