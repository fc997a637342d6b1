package debian

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"multinic.dev/testbed/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.MainWith(m, []sandbox.Fixture{Built([]Release{Bookworm, Trixie})})
}

func TestATreeHasWhatANodeNeedsInItsReleasesVersion(t *testing.T) {
	if !sandbox.RealRoot() {
		t.Skip("only root has trees of Debian")
	}
	for release, want := range map[Release]map[string]string{
		Bookworm: {"systemd": "252.", "udev": "252.", "netplan.io": "0.106-", "dbus": "1.14.", "iproute2": "6.1.", "procps": "2:4.0.2"},
		Trixie:   {"systemd": "257.", "udev": "257.", "netplan.io": "1.1.2-", "dbus": "1.16.", "iproute2": "6.15.", "procps": "2:4.0.4"},
	} {
		tree, err := Tree(t.Context(), release)
		if errors.Is(err, ErrNoArchive) {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		for name, version := range want {
			out, err := exec.CommandContext(t.Context(), "dpkg-query", "--root="+tree, "--show", "--showformat=${Version}", name).CombinedOutput()
			if err != nil || !strings.HasPrefix(string(out), version) {
				t.Errorf("%s has %s in version %q, error %v; want %s", release, name, out, err, version)
			}
		}
		for _, gone := range []string{"etc/resolv.conf", "etc/apt/sources.list"} {
			if _, err := os.Lstat(filepath.Join(tree, gone)); err == nil {
				t.Errorf("%s has this machine's %s", release, gone)
			}
		}
	}
}

// builder puts another mmdebstrap first in PATH, a script of sh in which $tree is the tree that it is to make, and an apt
// that knows an archive of Debian, and keeps trees in a cache of the test's own.
func builder(t *testing.T, script string) {
	t.Helper()
	bin := t.TempDir()
	script = "#!/bin/sh\nset -e\nfor arg; do tree=$last; last=$arg; done\n" + script
	apt := "#!/bin/sh\necho 'Debian|Debian|http://a.test/debian/'\n"
	for name, script := range map[string]string{"mmdebstrap": script, "apt-get": apt} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("MULTINIC_CACHE", t.TempDir())
}

func TestATreeIsBuiltOnceAlsoWhenManyAskAtTheSameTime(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	builder(t, `mkdir "$tree"; echo built >>`+log)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			tree, err := Tree(t.Context(), Trixie)
			if err != nil {
				t.Error(err)
			} else if _, err := os.Stat(tree); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got, err := os.ReadFile(log); err != nil || string(got) != "built\n" {
		t.Errorf("log %q, error %v", got, err)
	}
}

func TestTreesOfDifferentThingsAreDifferent(t *testing.T) {
	builder(t, `mkdir "$tree"; for arg; do echo "$arg"; done >"$tree/made-of"`)
	seen := map[string]bool{}
	for _, options := range [][]Option{nil, {WithPackages("linux-image-cloud-amd64")}, {WithHook("touch $1/here")}} {
		for _, release := range []Release{Bookworm, Trixie} {
			tree, err := Tree(t.Context(), release, options...)
			if err != nil {
				t.Fatal(err)
			}
			again, err := Tree(t.Context(), release, options...)
			if err != nil || again != tree || seen[tree] {
				t.Errorf("the tree is %s, then %s, error %v; known already: %v", tree, again, err, seen[tree])
			}
			seen[tree] = true
			made, err := os.ReadFile(filepath.Join(tree, "made-of"))
			if err != nil {
				t.Fatal(err)
			}
			r := recipe{}
			for _, option := range options {
				option(&r)
			}
			for _, want := range append(append([]string{string(release)}, r.packages...), r.hooks...) {
				if !strings.Contains(string(made), want) {
					t.Errorf("%s is not made of %s:\n%s", tree, want, made)
				}
			}
		}
	}
}

func TestATreeThatCannotBeBuiltIsNotKeptAndNorIsWhatAKilledBuilderLeft(t *testing.T) {
	builder(t, `mkdir "$tree"; echo no such package >&2; exit 25`)
	tree, err := Tree(t.Context(), Trixie)
	if err == nil || !strings.Contains(err.Error(), "no such package") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(tree); err == nil {
		t.Error("half a tree is kept")
	}
	if err := os.MkdirAll(filepath.Join(tree+".new", "half"), 0o700); err != nil {
		t.Fatal(err)
	}
	cache := os.Getenv("MULTINIC_CACHE")
	builder(t, `mkdir "$tree"`)
	t.Setenv("MULTINIC_CACHE", cache)
	if _, err := Tree(t.Context(), Trixie); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(tree); err != nil || len(entries) != 0 {
		t.Errorf("the tree has %v, error %v", entries, err)
	}
}

func TestABuilderThatIsGivenUpEndsWithAllThatItStarted(t *testing.T) {
	started := filepath.Join(t.TempDir(), "started")
	builder(t, `mkdir "$tree"; mkfifo `+started+`.never; sleep 1000 & echo >`+started+`; read -r _ <`+started+`.never`)
	if out, err := exec.CommandContext(t.Context(), "mkfifo", started).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := Tree(ctx, Trixie)
		ended <- err
	}()
	if _, err := os.ReadFile(started); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-ended; err == nil {
		t.Error("there is a tree")
	}
	// That nothing runs any more is what the sandbox looks at when the suite has ended.
}

func TestOnlyOneAtATimeHoldsTheLock(t *testing.T) {
	lock := filepath.Join(t.TempDir(), "lock")
	var inside, most atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			err := alone(t.Context(), lock, func() error {
				most.Store(max(most.Load(), inside.Add(1)))
				inside.Add(-1)
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if most.Load() != 1 {
		t.Errorf("%d at once", most.Load())
	}
	failed := errors.New("failed")
	if err := alone(t.Context(), lock, func() error { return failed }); !errors.Is(err, failed) {
		t.Errorf("error %v", err)
	}
}

func TestThereIsNoTreeWhereAptKnowsNoDebian(t *testing.T) {
	builder(t, `mkdir "$tree"`)
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "apt-get"), []byte("#!/bin/sh\necho 'Ubuntu|Ubuntu|http://b.test/ubuntu/'\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	if tree, err := Tree(t.Context(), Trixie); !errors.Is(err, ErrNoArchive) {
		t.Errorf("the tree is %s, error %v", tree, err)
	}
	if end, err := Built([]Release{Bookworm, Trixie})(); err != nil || end() != nil {
		t.Errorf("a suite that needs trees does not begin: %v", err)
	}
}

func TestTheMirrorIsTheMachinesOwn(t *testing.T) {
	for _, c := range []struct{ lines, want string }{
		{"Debian|Debian-Security|http://a.test/debian-security/\nDebian|Debian|http://a.test/debian/\n", "http://a.test/debian/"},
		{"Other|Other|http://b.test/tools/\nDebian|Debian|http://a.test/x/\n", "http://a.test/x/"},
		{"$(ORIGIN)|$(LABEL)|http://a.test/debian-security/\n$(ORIGIN)|$(LABEL)|http://a.test/debian/\n", "http://a.test/debian/"},
		{"Ubuntu|Ubuntu|http://b.test/ubuntu/\n", ""},
		{"", ""},
	} {
		if got, err := firstDebian(c.lines); got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("of %q: %q, error %v", c.lines, got, err)
		}
	}
}
