package deploy_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"multinic.dev/lab/golden"
)

const script = "simple-deploy.sh"

// builders are what images can be built with.
func builders() []string { return []string{"docker", "nerdctl", "podman", "buildah"} }

// ran ends the test if a script failed.
func ran(t *testing.T, got result) result {
	t.Helper()
	if got.code != 0 {
		t.Fatalf("it exited with %d and said\n%s%sand called\n%s", got.code, got.stdout, got.stderr, got.calls)
	}

	return got
}

// TestEachBuilderWithEachDelivery shows all that is called from nothing to an installation, in its order.
func TestEachBuilderWithEachDelivery(t *testing.T) {
	for _, builder := range builders() {
		for _, delivery := range []struct{ name, program, setting string }{
			{"registry", "", "REGISTRY=registry.test/team/"},
			{"kind", "kind", "KUBE_CONTEXT=kind-lab"},
			{"minikube", "minikube", "KUBE_CONTEXT=minikube"},
			{"containerd", "ctr", "DELIVERY=containerd"},
		} {
			name := builder + "-" + delivery.name
			t.Run(name, func(t *testing.T) {
				programs := []string{builder, "kubectl", "helm"}
				if delivery.program != "" {
					programs = append(programs, delivery.program)
				}
				if builder == "nerdctl" {
					programs = append(programs, "buildctl")
				}
				s := newStand(t, programs...)
				got := ran(t, s.run(script, nil, s.database("BUILDER="+builder, delivery.setting)...))
				golden.Want(t, name+".txt", got.calls+"\nwith the settings\n"+s.read("settings.yaml"))
			})
		}
	}
}

// TestWhatIsThereDecides which builder and which delivery is taken, if nobody says.
func TestWhatIsThereDecides(t *testing.T) {
	for _, one := range []struct {
		name     string
		programs []string
		answers  map[string]string // patterns that fail, and what they say
		context  string
		want     []string
	}{
		{"all builders", append(builders(), "buildctl", "ctr"), nil, "lab", []string{"docker build", "ctr --namespace k8s.io images import"}},
		{"a docker without a daemon", append(builders(), "buildctl", "ctr"), map[string]string{"docker version": "Cannot connect\n"}, "lab", []string{"nerdctl build"}},
		{
			"a nerdctl without buildkitd", []string{"nerdctl", "buildctl", "podman", "buildah", "ctr"}, map[string]string{"buildctl*": "no such file\n"}, "lab",
			[]string{"podman build", "ctr --namespace k8s.io images import"},
		},
		{"a nerdctl without buildctl", []string{"nerdctl", "buildah", "ctr"}, nil, "lab", []string{"buildah build"}},
		{"buildah alone in kind", []string{"buildah", "kind"}, nil, "kind-two", []string{"buildah build", "kind load image-archive WORK/images/multinic-executor-amd64.tar --name two"}},
		{"podman alone in minikube", []string{"podman", "minikube"}, nil, "minikube", []string{"podman build", "minikube --profile minikube image load"}},
	} {
		t.Run(one.name, func(t *testing.T) {
			s := newStand(t, append(one.programs, "kubectl", "helm")...)
			s.answer("kubectl config current-context", 0, one.context+"\n")
			for pattern, text := range one.answers {
				s.answer(pattern, 1, text)
			}
			got := ran(t, s.run(script, nil, s.database()...))
			for _, call := range one.want {
				if !strings.Contains("\n"+got.calls, "\n"+call) && !strings.Contains(got.calls, " "+call) {
					t.Errorf("it does not call %q, but\n%s", call, got.calls)
				}
			}
		})
	}
}

// TestDockerNeedNotSayItsOwnRegistry when it says by which digest that knows an image.
func TestDockerNeedNotSayItsOwnRegistry(t *testing.T) {
	for _, one := range []struct {
		name, says string
		code       int
	}{
		{"in short", "other/multinic-%[1]s@sha256:%064[2]d\nteam/multinic-%[1]s@sha256:%064[3]d\n", 0},
		{"in short and in full", "team/multinic-%[1]s@sha256:%064[2]d\nregistry.test/team/multinic-%[1]s@sha256:%064[3]d\n", 0},
		{"of others alone", "ateam/multinic-%[1]s@sha256:%064[2]d\nelsewhere.test/team/multinic-%[1]s@sha256:%064[3]d\n", 1},
	} {
		t.Run(one.name, func(t *testing.T) {
			s := newStand(t, "docker", "kubectl", "helm")
			for _, tier := range []string{"dispatcher", "executor"} {
				s.answer("docker image inspect*"+tier+"*", 0, fmt.Sprintf(one.says, tier, 1, 7))
			}
			got := s.run(script, nil, s.database("REGISTRY=registry.test/team")...)
			pinned := strings.Count(s.read("settings.yaml"), fmt.Sprintf("imageDigest: 'sha256:%064d'", 7)) == 2
			if got.code != one.code || pinned != (one.code == 0) {
				t.Errorf("it exits with %d and says\n%s%s", got.code, got.stdout, got.stderr)
			}
		})
	}
}

// changes are how calls begin, or what they have, that change something.
func changes() []string {
	return []string{" build ", " push ", " load ", " import ", "create namespace", " label ", " apply ", "create secret", " upgrade ", " save "}
}

// changing are the calls that change something.
func changing(calls string) []string {
	return slices.DeleteFunc(strings.Split(calls, "\n"), func(call string) bool {
		return strings.Contains(call, "--dry-run=server") || !slices.ContainsFunc(changes(), func(word string) bool { return strings.Contains(call, word) })
	})
}

func TestADryRunSaysAllAndDoesNothing(t *testing.T) {
	for _, delivery := range []string{"registry", "containerd"} {
		t.Run(delivery, func(t *testing.T) {
			s := newStand(t, "docker", "ctr", "kubectl", "helm")
			settings := s.database("DELIVERY="+delivery, "REGISTRY=registry.test/team")
			got := ran(t, s.run(script, []string{"--dry-run"}, settings...))
			if did := changing(got.calls); len(did) > 0 {
				t.Errorf("it did %q", did)
			}
			golden.Want(t, "dry-run-"+delivery+".txt", got.stdout)
			done := ran(t, s.run(script, nil, settings...))
			if did := changing(done.calls); len(did) < 8 {
				t.Errorf("without --dry-run it did only %q: this test cannot tell", did)
			}
		})
	}
}

// TestOnlyImages are built and brought, without a cluster, for nodes beside the first.
func TestOnlyImages(t *testing.T) {
	s := newStand(t, "podman", "ctr")
	got := ran(t, s.run(script, []string{"--images-only"}, "DELIVERY=containerd", "IMAGE_TAG=dev", "CTR=ctr --address /run/other.sock"))
	want := "ctr --address /run/other.sock --namespace k8s.io images import WORK/images/multinic-dispatcher-amd64.tar\n" +
		"ctr --address /run/other.sock --namespace k8s.io images import WORK/images/multinic-executor-amd64.tar\n"
	if !strings.HasSuffix(got.calls, want) {
		t.Errorf("it calls\n%sand should end with\n%s", got.calls, want)
	}
}

// TestAgain with an installation that is there: nothing is made twice, and Helm is given the very same.
func TestAgain(t *testing.T) {
	for _, state := range []string{"deployed", "failed"} {
		t.Run(state, func(t *testing.T) {
			s := newStand(t, "docker", "ctr", "kubectl", "helm")
			first := ran(t, s.run(script, nil, s.database()...))
			settings := s.read("settings.yaml")
			s.installed(state)
			second := ran(t, s.run(script, nil, s.database()...))
			if again := s.read("settings.yaml"); again != settings {
				t.Errorf("the second time Helm is given\n%sand the first time it was\n%s", again, settings)
			}
			made := func(calls string) int {
				return strings.Count(calls, "create namespace") + strings.Count(calls, " label ")
			}
			if made(first.calls) != 2 || made(second.calls) != 0 {
				t.Errorf("it makes the namespace with %d calls the first time and with %d the second", made(first.calls), made(second.calls))
			}
		})
	}
	const keeps = " --install --namespace multinic --reset-then-reuse-values --values WORK/settings.yaml --wait"
	t.Run("without settings of the database", func(t *testing.T) {
		s := newStand(t, "docker", "ctr", "kubectl", "helm")
		s.installed("deployed")
		got := ran(t, s.run(script, nil, "IMAGE_TAG=dev2"))
		if !strings.Contains(got.calls, keeps) || strings.Contains(s.read("settings.yaml"), "database") {
			t.Errorf("it should leave the database's settings as they are; it calls\n%swith\n%s", got.calls, s.read("settings.yaml"))
		}
	})
	t.Run("with another password alone", func(t *testing.T) {
		s := newStand(t, "docker", "ctr", "kubectl", "helm")
		s.installed("deployed")
		got := ran(t, s.run(script, nil, "DB_PASSWORD_FILE="+s.path("password")))
		if !strings.Contains(got.calls, keeps) || !strings.Contains(s.read("settings.yaml"), "existingSecret") || strings.Contains(s.read("settings.yaml"), " host:") {
			t.Errorf("it should leave the other settings as they are; it calls\n%swith\n%s", got.calls, s.read("settings.yaml"))
		}
	})
	t.Run("with a file of all values", func(t *testing.T) {
		s := newStand(t, "docker", "ctr", "kubectl", "helm")
		s.installed("deployed")
		s.write("own.yaml", []byte("database: {host: db.test}\n"))
		if got := ran(t, s.run(script, nil, "VALUES_FILE=own.yaml")); strings.Contains(got.calls, "reuse-values") {
			t.Errorf("what the file leaves out should be as the chart has it; it calls\n%s", got.calls)
		}
	})
}

// TestAnotherImageOfTheSameTag is told from the first by the pods' annotations, or nodes would go on with what they run.
func TestAnotherImageOfTheSameTag(t *testing.T) {
	s := newStand(t, "docker", "ctr", "kubectl", "helm")
	ran(t, s.run(script, nil, s.database()...))
	first := s.read("settings.yaml")
	s.write("image.tar", []byte(strings.ReplaceAll(s.read("image.tar"), identity, strings.Repeat("cd", 32))))
	ran(t, s.run(script, nil, s.database()...))
	if second := s.read("settings.yaml"); second != strings.ReplaceAll(first, identity, strings.Repeat("cd", 32)) || second == first {
		t.Errorf("the settings of another image are\n%sand of the first\n%s", second, first)
	}
}

// TestThePasswordIsSeenNowhere: not on a command line, in an environment, or in what is printed, but in what kubectl reads.
func TestThePasswordIsSeenNowhere(t *testing.T) {
	s := newStand(t, "docker", "ctr", "kubectl", "helm")
	got := ran(t, s.run(script, nil, s.database()...))
	if !strings.HasSuffix(s.read("read"), "hunter2\n") {
		t.Errorf("kubectl does not get the password: this test proves nothing. It reads\n%s", s.read("read"))
	}
	for what, text := range map[string]string{
		"a command line": got.calls, "an environment": s.read("environments"), "what is printed": got.stdout + got.stderr, "Helm's values": s.read("settings.yaml"),
	} {
		if text == "" && what != "an environment" || strings.Contains(text, "hunter2") {
			t.Errorf("%s has it, or there is none:\n%s", what, text)
		}
	}
	dry := ran(t, s.run(script, []string{"--dry-run"}, s.database()...))
	if all := dry.calls + dry.stdout + s.read("read"); strings.Contains(all, "hunter2") {
		t.Errorf("with --dry-run it is seen:\n%s", all)
	}
}

// TestValuesOfAFile come before those of variables, which win.
func TestValuesOfAFile(t *testing.T) {
	s := newStand(t, "docker", "ctr", "kubectl", "helm")
	s.write("own.yaml", []byte("database: {host: db.test}\n"))
	got := ran(t, s.run(script, nil, "IMAGE_TAG=dev", "VALUES_FILE=own.yaml", "DB_USER=o'neill", "DB_PORT=03307", "TIMEOUT=0s", "DELIVERY=containerd"))
	want := "helm upgrade multinic TOP/deploy/helm/multinic --install --namespace multinic --values own.yaml --values WORK/settings.yaml\n"
	if !strings.HasSuffix(got.calls, want) {
		t.Errorf("it calls\n%sand should end with\n%s", got.calls, want)
	}
	want = "database:\n  port: 3307\n  user: 'o''neill'\n"
	if settings := s.read("settings.yaml"); !strings.HasSuffix(settings, want) {
		t.Errorf("its own values are\n%sand should end with\n%s", settings, want)
	}
}

func TestHelpNamesEachVariable(t *testing.T) {
	for _, name := range []string{script, "setup-buildkit.sh"} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t)
			got := ran(t, s.run(name, []string{"--help"}))
			if got.calls != "" {
				t.Errorf("it calls\n%s", got.calls)
			}
			text, err := os.ReadFile(filepath.Join(scripts, name))
			if err != nil {
				t.Fatal(err)
			}
			for _, variable := range given(string(text)) {
				if !strings.Contains(got.stdout, variable) {
					t.Errorf("it reads %s, which --help does not name", variable)
				}
			}
		})
	}
}

// given are the variables of the environment that a script reads: those in capitals.
func given(script string) []string {
	var found []string
	for _, match := range variables.FindAllStringSubmatch(script, -1) {
		found = append(found, match[1])
	}
	slices.Sort(found)
	found = slices.Compact(found)

	return slices.DeleteFunc(found, func(name string) bool {
		return slices.Contains([]string{"TMPDIR", "BASH_SOURCE", "DB_PASSWORD", "ARCHES"}, name)
	})
}

// refusal is a run that must come to nothing.
type refusal struct {
	name     string
	answers  []string // pattern, code and text, three by three
	settings []string // beside the database's
	without  []string // programs that are not there
	code     int
	want     string
}

func refusals() []refusal {
	installed := []string{"kubectl*get namespace*", "0", "namespace/multinic\n"}
	state := func(of string) []string {
		return append(slices.Clone(installed), "helm status*", "0", "STATUS: "+of+"\n")
	}

	return []refusal{
		{name: "a namespace that is no name", settings: []string{"NAMESPACE=Multi_Nic"}, code: 2, want: `NAMESPACE is 'Multi_Nic': it must be a name of small letters, digits and -`},
		{name: "a release that is no name", settings: []string{"RELEASE=1st"}, code: 2, want: `RELEASE is '1st': it must be a name`},
		{name: "a tag that is none", settings: []string{"IMAGE_TAG=a/b"}, code: 2, want: `IMAGE_TAG is 'a/b': it must be a tag`},
		{name: "a registry with a scheme", settings: []string{"REGISTRY=https://registry.test"}, code: 2, want: `REGISTRY is 'https://registry.test': it must be`},
		{name: "another builder", settings: []string{"BUILDER=kaniko"}, code: 2, want: `BUILDER is 'kaniko': it must be docker, nerdctl, podman or buildah`},
		{name: "another delivery", settings: []string{"DELIVERY=pigeon"}, code: 2, want: `DELIVERY is 'pigeon': it must be registry, kind, minikube or containerd`},
		{name: "no time", settings: []string{"TIMEOUT=soon"}, code: 2, want: `TIMEOUT is 'soon': it must be a time`},
		{name: "no port", settings: []string{"DB_PORT=mysql"}, code: 2, want: `DB_PORT is 'mysql': it must be a port`},
		{name: "a host of two lines", settings: []string{"DB_HOST=a\nb"}, code: 2, want: `DB_HOST is $'a\nb': it must be one line`},
		{name: "nowhere to push to", settings: []string{"DELIVERY=registry"}, code: 2, want: `DELIVERY is registry, and REGISTRY is not set`},
		{name: "a password for all to see", settings: []string{"DB_PASSWORD=hunter2"}, code: 2, want: `DB_PASSWORD is set, which anybody who sees the environment can read`},
		{name: "two passwords", settings: []string{"DB_SECRET=own"}, code: 2, want: `DB_PASSWORD_FILE and DB_SECRET are both set`},
		{name: "no file of the password", settings: []string{"DB_PASSWORD_FILE=/nonexistent"}, code: 2, want: `DB_PASSWORD_FILE is /nonexistent, which is no file that can be read`},
		{name: "a path that kubectl cannot read", settings: []string{"DB_PASSWORD_FILE=a=b"}, code: 2, want: `DB_PASSWORD_FILE is a=b: kubectl reads no file with = or , in its path`},
		{name: "an empty password", settings: []string{"DB_PASSWORD_FILE=rules-none"}, code: 2, want: `which is empty`},
		{name: "values with a comma in their path", settings: []string{"VALUES_FILE=a,b"}, code: 2, want: `VALUES_FILE is a,b: helm takes a comma for the end of a path`},
		{name: "no file of values", settings: []string{"VALUES_FILE=/nonexistent"}, code: 2, want: `VALUES_FILE is /nonexistent, which is no file that can be read`},
		{name: "no database", settings: []string{"DB_HOST=", "DB_PASSWORD_FILE="}, code: 2, want: "the database's settings are missing: DB_HOST DB_PASSWORD_FILE (or DB_SECRET). Set them, or VALUES_FILE"},
		{name: "no kubectl", without: []string{"kubectl"}, code: 1, want: "kubectl is not in PATH"},
		{name: "no helm", without: []string{"helm"}, code: 1, want: "helm is not in PATH"},
		{name: "no builder", without: []string{"docker"}, code: 1, want: "no docker that answers, no nerdctl with a buildkitd that answers, no podman and no buildah is here"},
		{name: "a builder that is not there", settings: []string{"BUILDER=buildah"}, code: 1, want: "BUILDER is buildah, which is not in PATH"},
		{
			name: "a builder without its daemon", settings: []string{"BUILDER=docker"}, answers: []string{"docker version", "1", "Cannot connect"}, code: 1,
			want: "BUILDER is docker, whose daemon does not answer",
		},
		{name: "no ctr", without: []string{"ctr"}, code: 1, want: "ctr is not in PATH"},
		{
			name: "a containerd that is not there", answers: []string{"ctr version", "1", "failed to dial\n"}, code: 1,
			want: "containerd does not answer ctr: failed to dial. Run this as root, on the node, and set CONTAINERD_ADDRESS",
		},
		{name: "no kind", settings: []string{"DELIVERY=kind"}, code: 1, want: "kind is not in PATH"},
		{
			name: "no cluster", answers: []string{"kubectl*get --raw*", "1", "The connection to the server was refused\n"}, code: 1,
			want: `the cluster of the context "lab" does not answer: The connection to the server was refused. Set KUBECONFIG or KUBE_CONTEXT`,
		},
		{name: "no way to the nodes", answers: []string{"kubectl*get nodes*", "0", "other amd64\n"}, code: 2, want: "how should the images get to the nodes? Set REGISTRY"},
		{name: "nodes of two kinds", answers: []string{"kubectl*get nodes*", "0", "node-1 amd64\nnode-2 arm64\n"}, code: 1, want: "the cluster's nodes are amd64 arm64: images of one name for both need a manifest list"},
		{
			name: "a namespace for harmless pods", code: 1,
			answers: append(slices.Clone(installed), "kubectl*create --dry-run=server*", "1", `pods is forbidden: violates PodSecurity "restricted:latest": host namespaces`+"\n"),
			want: `the namespace multinic takes no privileged pods, and executors are in their nodes' network: pods is forbidden: violates PodSecurity "restricted:latest": host namespaces. ` +
				`Set NAMESPACE to one of multinic's own, or allow it: kubectl label --overwrite namespace multinic pod-security.kubernetes.io/enforce=privileged`,
		},
		{
			name: "a Secret that is not there", settings: []string{"DB_PASSWORD_FILE=", "DB_SECRET=own"}, answers: []string{"kubectl*get secret*", "1", "secrets \"own\" not found\n"}, code: 2,
			want: `DB_SECRET is own, which cannot be read in the namespace multinic: secrets "own" not found. Make it: kubectl --namespace multinic create secret generic own --from-file=password=FILE`,
		},
		{
			name: "a Secret without the key", settings: []string{"DB_PASSWORD_FILE=", "DB_SECRET=own"}, answers: []string{"kubectl*get secret*", "0", "word\nuser\n"}, code: 2,
			want: `the Secret own has no key password: set DB_SECRET_KEY to one of its own: word user`,
		},
		{name: "an installation that was cut off", answers: state("pending-install"), code: 1, want: "is pending-install: another helm is at work on it, or was ended in the middle."},
		{name: "an upgrade that was cut off", answers: state("pending-upgrade"), code: 1, want: "helm rollback multinic --namespace multinic"},
		{name: "an end that was cut off", answers: state("uninstalling"), code: 1, want: "helm uninstall multinic --namespace multinic"},
		{name: "a release that nobody knows", answers: state("uninstalled"), code: 1, want: "is uninstalled, and cannot be upgraded"},
		{name: "a Helm that cannot tell", answers: []string{"helm status*", "1", "Error: secrets is forbidden\n"}, code: 1, want: "Helm does not say whether multinic is installed in multinic: Error: secrets is forbidden"},
		{
			name: "values that the chart refuses", code: 2, want: "the chart refuses these settings: Error: values don't meet the specifications of the schema(s)",
			answers: []string{"helm*--dry-run=server", "1", "Error: values don't meet the specifications of the schema(s)\n- /database/port\n"},
		},
		{
			name: "what Helm cannot do", code: 1, want: "Helm could not do it: Error: rendered manifests contain a resource that already exists",
			answers: []string{"helm*--dry-run=server", "1", "Error: rendered manifests contain a resource that already exists\n"},
		},
	}
}

// TestWhatCannotWorkIsRefused by its name, with what to do about it, and before anything is changed.
func TestWhatCannotWorkIsRefused(t *testing.T) {
	for _, one := range refusals() {
		t.Run(one.name, func(t *testing.T) {
			s := newStand(t, slices.DeleteFunc([]string{"docker", "ctr", "kubectl", "helm"}, func(name string) bool { return slices.Contains(one.without, name) })...)
			s.write("rules-none", nil)
			for i := 0; i < len(one.answers); i += 3 {
				s.answer(one.answers[i], map[string]int{"0": 0, "1": 1}[one.answers[i+1]], one.answers[i+2])
			}
			got := s.run(script, nil, s.database(one.settings...)...)
			if got.code != one.code || !strings.Contains(got.stderr, one.want) {
				t.Errorf("it exits with %d, and should with %d; it says\n%sand should say\n%s", got.code, one.code, got.stderr, one.want)
			}
			if strings.Count(got.stderr, "\n") != 1 {
				t.Errorf("it should say one line, and says\n%s", got.stderr)
			}
			if did := changing(got.calls); len(did) > 0 {
				t.Errorf("it did %q first", did)
			}
		})
	}
}

// TestAFailureSaysWhereToLook for why it was.
func TestAFailureSaysWhereToLook(t *testing.T) {
	s := newStand(t, "docker", "ctr", "kubectl", "helm")
	s.answer("helm*--wait*", 1, "Error: context deadline exceeded\n")
	got := s.run(script, nil, s.database("NAMESPACE=nets", "RELEASE=fleet", "TIMEOUT=90s")...)
	want := `Error: context deadline exceeded
deploy: not everything has come about. These say why, and when it is mended, run this again:
    kubectl --namespace nets get pods
    kubectl --namespace nets get events --sort-by .lastTimestamp
    kubectl --namespace nets logs --prefix --selector app.kubernetes.io/instance=fleet
`
	if got.code != 1 || got.stderr != want {
		t.Errorf("it exits with %d and says\n%sand should say\n%s", got.code, got.stderr, want)
	}
}

// TestABuildThatFails ends it there.
func TestABuildThatFails(t *testing.T) {
	for _, call := range []string{"docker build*", "docker save*", "ctr*import*multinic-executor*", "kubectl*create namespace*", "kubectl*create secret*", "kubectl*apply*"} {
		t.Run(call, func(t *testing.T) {
			s := newStand(t, "docker", "ctr", "kubectl", "helm")
			s.answer(call, 1, fmt.Sprintf("no %s\n", call))
			got := s.run(script, nil, s.database()...)
			if got.code == 0 || strings.Contains(got.calls, "--wait") {
				t.Errorf("it exits with %d, and calls\n%s", got.code, got.calls)
			}
		})
	}
}
