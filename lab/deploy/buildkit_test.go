package deploy_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"multinic.dev/lab/golden"
)

const (
	buildKit = "setup-buildkit.sh"
	unit     = "root/etc/systemd/system/buildkit.service"
)

// newHost is a stand with what a host with containerd has, and no buildkitd that answers before its service was started.
func newHost(t *testing.T, programs ...string) (s *stand, settings []string) {
	t.Helper()
	s = newStand(t, append(programs, "systemctl", "id")...)
	s.answer("id -u", 0, "0\n")
	s.answer("buildctl*", 1, "no such file\n")
	containerd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(containerd) })
	if err := unix.Bind(containerd, &unix.SockaddrUnix{Name: s.path("containerd.sock")}); err != nil {
		t.Fatal(err)
	}

	return s, []string{"ROOT=" + s.path("root"), "CONTAINERD_ADDRESS=" + s.path("containerd.sock")}
}

// serving has buildkitd answer once its service was started.
func (s *stand) serving() {
	s.t.Helper()
	s.answer("buildctl*", 0, "ID\n")
}

func TestBuildKitIsSetUp(t *testing.T) {
	s, settings := newHost(t, "nerdctl", "buildctl", "buildkitd")
	dry := ran(t, s.run(buildKit, []string{"--dry-run"}, settings...))
	if _, err := os.Stat(s.path("root")); err == nil || strings.Contains(dry.calls, "systemctl") {
		t.Errorf("with --dry-run something is done; it calls\n%s", dry.calls)
	}
	golden.Want(t, "setup-buildkit-dry-run.txt", dry.stdout)

	// The stand-in of buildctl does not know that the service has started: so the script says that it does not answer.
	got := s.run(buildKit, nil, settings...)
	if want := "buildkit: buildkitd was started, and does not answer at unix:///run/buildkit/buildkitd.sock: look at journalctl --unit buildkit\n"; got.code != 1 || got.stderr != want {
		t.Errorf("with a buildkitd that ends at once it exits with %d and says\n%s", got.code, got.stderr)
	}
	if !strings.HasSuffix(got.calls, "systemctl daemon-reload\nsystemctl enable buildkit.service\nsystemctl restart buildkit.service\nbuildctl --addr unix:///run/buildkit/buildkitd.sock debug workers\n") {
		t.Errorf("it calls\n%s", got.calls)
	}
	golden.Want(t, "buildkit.service", s.plain(s.read(unit)))

	s.serving()
	again := ran(t, s.run(buildKit, nil, settings...))
	if want := "buildctl --addr unix:///run/buildkit/buildkitd.sock debug workers\n"; again.calls != want || !strings.HasSuffix(again.stdout, "there is nothing to do\n") {
		t.Errorf("with a buildkitd that answers it calls\n%sand says\n%s", again.calls, again.stdout)
	}

	other := ran(t, s.run(buildKit, nil, append(settings, "NAMESPACE_OF_IMAGES=builds")...))
	if !strings.Contains(other.calls, "systemctl restart buildkit.service\n") || !strings.Contains(s.read(unit), "--containerd-worker-namespace=builds\n") {
		t.Errorf("with a setting that has changed it calls\n%sand the service is\n%s", other.calls, s.read(unit))
	}
}

// TestProgramsComeFromTheArchive if they are not there, and only those.
func TestProgramsComeFromTheArchive(t *testing.T) {
	s, settings := newHost(t, "nerdctl")
	archived := tarOf(t, map[string]string{"bin/nerdctl": "another", "bin/buildctl": "#!/bin/sh\n", "bin/buildkitd": "#!/bin/sh\n", "bin/ctr": "no"})
	s.write("full.tar.gz", gzipped(t, archived))
	if err := os.Symlink(s.path("root/usr/local/bin/buildctl"), s.path("bin/buildctl")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(s.path("root/usr/local/bin/buildkitd"), s.path("bin/buildkitd")); err != nil {
		t.Fatal(err)
	}
	got := ran(t, s.run(buildKit, nil, append(settings, "NERDCTL_ARCHIVE="+s.path("full.tar.gz"))...))
	installed, err := filepath.Glob(s.path("root/usr/local/bin/*"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range installed {
		installed[i] = filepath.Base(installed[i])
	}
	if want := []string{"buildctl", "buildkitd"}; !slices.Equal(installed, want) || !strings.Contains(got.stdout, "nerdctl can build") {
		t.Errorf("it has installed %q, and should have %q; it says\n%s", installed, want, got.stdout)
	}
}

// TestWhatKeepsBuildKitAway is said by its name.
func TestWhatKeepsBuildKitAway(t *testing.T) {
	const all = "nerdctl buildctl buildkitd"
	for _, one := range []struct {
		name, programs, argument string
		settings                 []string
		user                     string
		code                     int
		want                     string
	}{
		{"no program", "", "", nil, "0", 1, "buildkit: these programs are not in PATH: nerdctl buildctl buildkitd. All of them are in the archive nerdctl-full"},
		{"no buildctl", "nerdctl buildkitd", "--check", nil, "0", 1, "buildkit: these programs are not in PATH: buildctl. All of them"},
		{"no containerd", all, "", []string{"CONTAINERD_ADDRESS=/nonexistent.sock"}, "0", 1, "buildkit: containerd does not listen at /nonexistent.sock: install and start it"},
		{"not root", all, "", nil, "1000", 1, "buildkit: only root can set a service up: run this as root"},
		{"no buildkitd yet", all, "--check", nil, "0", 1, "buildkit: buildkitd does not answer at unix:///run/buildkit/buildkitd.sock: set it up with deploy/setup-buildkit.sh, as root"},
		{"no archive", all, "", []string{"NERDCTL_ARCHIVE=/nonexistent"}, "0", 2, "buildkit: NERDCTL_ARCHIVE is /nonexistent, which is no file"},
		{"elsewhere", all, "", []string{"BUILDKIT_HOST=tcp://10.0.0.1:1234"}, "0", 2, `buildkit: BUILDKIT_HOST is "tcp://10.0.0.1:1234": it must be unix:// and a path`},
		{"another argument", all, "--force", nil, "0", 2, `buildkit: "--force" is not among what it takes`},
	} {
		t.Run(one.name, func(t *testing.T) {
			s, settings := newHost(t, strings.Fields(one.programs)...)
			s.answer("id -u", 0, one.user+"\n")
			got := s.run(buildKit, strings.Fields(one.argument), append(settings, one.settings...)...)
			if got.code != one.code || !strings.HasPrefix(got.stderr, one.want) || strings.Count(got.stderr, "\n") != 1 {
				t.Errorf("it exits with %d, and should with %d; it says\n%sand should say\n%s", got.code, one.code, got.stderr, one.want)
			}
		})
	}
	t.Run("another's service", func(t *testing.T) {
		s, settings := newHost(t, strings.Fields(all)...)
		if err := os.MkdirAll(filepath.Dir(s.path(unit)), 0o700); err != nil {
			t.Fatal(err)
		}
		s.write(unit, []byte("[Unit]\n"))
		got := s.run(buildKit, nil, settings...)
		if want := "buildkit: there is a service of another's, STAND/" + unit; got.code != 1 || !strings.HasPrefix(got.stderr, want) || s.read(unit) != "[Unit]\n" {
			t.Errorf("it exits with %d, says\n%sand leaves\n%s", got.code, got.stderr, s.read(unit))
		}
	})
}

// TestForContainerdHosts nerdctl-deploy.sh is simple-deploy.sh with nerdctl, into this machine's containerd or by way of a registry.
func TestForContainerdHosts(t *testing.T) {
	for _, one := range []struct{ name, setting, golden string }{
		{"without a registry", "REGISTRY=", "nerdctl-containerd.txt"},
		{"with one", "REGISTRY=registry.test/team/", "nerdctl-registry.txt"},
	} {
		t.Run(one.name, func(t *testing.T) {
			s, settings := newHost(t, "nerdctl", "buildctl", "buildkitd", "kubectl", "helm")
			s.serving()
			got := ran(t, s.run("nerdctl-deploy.sh", nil, s.database(append(settings, one.setting)...)...))
			want, err := os.ReadFile(filepath.Join("testdata", one.golden))
			if err != nil {
				t.Fatal(err)
			}
			asked := "buildctl --addr unix:///run/buildkit/buildkitd.sock debug workers\n"
			if all := got.calls + "\nwith the settings\n" + s.read("settings.yaml"); all != asked+string(want) {
				t.Errorf("it calls\n%sand should call\n%s%s", all, asked, want)
			}
		})
	}
	t.Run("with another builder", func(t *testing.T) {
		s, settings := newHost(t)
		got := s.run("nerdctl-deploy.sh", nil, append(settings, "BUILDER=docker")...)
		if want := "deploy: BUILDER is docker, and this script builds with nerdctl: unset it, or run simple-deploy.sh\n"; got.code != 2 || got.stderr != want {
			t.Errorf("it exits with %d and says\n%s", got.code, got.stderr)
		}
	})
	t.Run("without buildkitd", func(t *testing.T) {
		s, settings := newHost(t, "nerdctl", "buildctl", "buildkitd", "kubectl", "helm")
		got := s.run("nerdctl-deploy.sh", nil, s.database(settings...)...)
		if !strings.HasPrefix(got.stderr, "buildkit: buildkitd does not answer") || got.code != 1 || strings.Contains(got.calls, "helm") {
			t.Errorf("it exits with %d, says\n%sand calls\n%s", got.code, got.stderr, got.calls)
		}
	})
}
