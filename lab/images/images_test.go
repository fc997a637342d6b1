package images_test

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"multinic.dev/lab/confine"
	"multinic.dev/lab/images"
	"multinic.dev/lab/program"
	"multinic.dev/lab/workshop"
)

const (
	dispatcher = "multinic-dispatcher"
	executor   = "multinic-executor"
	// sbomTool is the variable that says where the program cyclonedx-gomod is.
	sbomTool = "SBOM_TOOL"
	// largest is how large an image may be, in bytes.
	largest = 30_000_000
)

// TestImages builds both images with each builder that can be had, and judges them. What is built takes its time, so all tests share it.
func TestImages(t *testing.T) {
	w := open(t)
	w.BuildBase(nil, "buildah")
	firstRun := run{name: "first", variables: []string{"BUILDER=buildah"}, arches: workshop.Arches()}
	first := firstRun.make(t, w)
	judgeAll(t, first)
	t.Run("an SBOM lists the modules", func(t *testing.T) { firstRun.judgeSBOMs(t, w, first) })
	t.Run("a database's driver is seen", func(t *testing.T) {
		if drivers := drivers(t, first[dispatcher+" amd64"]); len(drivers) != 1 {
			t.Errorf("the dispatcher's drivers are %q, and should be one: the executor's would not be seen either", drivers)
		}
	})

	here := []string{"amd64"}
	t.Run("again with buildah", func(t *testing.T) {
		again := run{name: "again", variables: []string{"BUILDER=buildah"}, arches: here}.make(t, w)
		wantSamePrograms(t, again, first)
		wantSameIDs(t, again, first)
	})
	t.Run("with podman", func(t *testing.T) {
		podman := run{name: "podman", variables: []string{"BUILDER=podman"}, arches: here}.make(t, w)
		wantSamePrograms(t, podman, first)
		judgeAll(t, podman)
	})
	w.StartDocker()
	w.BuildBase(nil, "docker")
	t.Run("with docker's BuildKit", func(t *testing.T) {
		buildKit := run{name: "buildkit", variables: []string{"BUILDER=docker"}, arches: here}.make(t, w)
		wantSamePrograms(t, buildKit, first)
		judgeAll(t, buildKit)
		runs(t, w.In(t), "buildkit")
	})
	t.Run("with docker's older builder, another version", func(t *testing.T) {
		older := run{name: "older", variables: []string{"BUILDER=docker", "DOCKER_BUILDKIT=0", "VERSION=lab"}, arches: here}.make(t, w)
		wantLabs(t, older[executor+" amd64"])
		if bytes.Equal(older[executor+" amd64"].Files[0].Content, first[executor+" amd64"].Files[0].Content) {
			t.Error("programs of two versions are the same: this test cannot tell programs apart")
		}
	})
}

// open makes a workshop, with the tool that writes SBOMs.
func open(t *testing.T) *workshop.Workshop {
	t.Helper()
	if os.Getenv(wanted) == "" {
		t.Skip("images are built by make test-images")
	}
	tool, err := filepath.EvalSymlinks(os.Getenv(sbomTool))
	if err != nil {
		t.Fatalf("find the tool that writes SBOMs (%s): %v", sbomTool, err)
	}

	return workshop.Open(t, filepath.Dir(tool))
}

// judgeAll says of each image what is wrong with it.
func judgeAll(t *testing.T, all made) {
	t.Helper()
	for key, image := range all {
		t.Run(key, func(t *testing.T) { judge(t, key, image) })
	}
}

// judge says what is wrong with an image, whose key has its program and machine.
func judge(t *testing.T, key string, image images.Image) {
	t.Helper()
	name, arch, _ := strings.Cut(key, " ")
	user := map[string]string{dispatcher: "65532:65532", executor: "0:0"}[name]
	changed, err := time.Parse(time.RFC3339, created)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := []string{image.Config.Architecture, image.Config.OS, image.Config.Config.User}, []string{arch, "linux", user}; !slices.Equal(got, want) {
		t.Errorf("its machine, system and user are %q, and should be %q", got, want)
	}
	if got, want := image.Config.Config.Entrypoint, []string{"/" + name}; !slices.Equal(got, want) || len(image.Config.Config.Cmd) > 0 {
		t.Errorf("it starts %q %q, and should start %q", got, image.Config.Config.Cmd, want)
	}
	if !image.Config.Created.Equal(changed) {
		t.Errorf("it was created at %v, and the commit at %v", image.Config.Created, changed)
	}
	wantLabels(t, name, image.Config.Config.Labels)
	if len(image.Files) != 1 {
		t.Fatalf("it has %d files, and should have the program alone: %v", len(image.Files), names(image.Files))
	}
	file := image.Files[0]
	content := file.Content
	file.Content, file.Changed = nil, file.Changed.UTC()
	if want := (images.File{Name: name, Mode: 0o755, Changed: changed, IsRegular: true}); !reflect.DeepEqual(file, want) {
		t.Errorf("its file is %+v, and should be %+v", file, want)
	}
	if len(content) > largest {
		t.Errorf("it has %d bytes, and may have %d", len(content), largest)
	}
	t.Logf("%s is %s and has %.1f MB", key, image.ID, float64(len(content))/1e6)
	wantStatic(t, arch, content)
	if found := drivers(t, image); name == executor && len(found) > 0 {
		t.Errorf("it can talk to a database, by %q", found)
	}
}

// wantLabels compares the labels of the OCI with what was built. buildah adds its own, with its version.
func wantLabels(t *testing.T, name string, got map[string]string) {
	t.Helper()
	delete(got, "io.buildah.version")
	description := got["org.opencontainers.image.description"]
	if description == "" {
		t.Error("it has no description")
	}
	if want := map[string]string{
		"org.opencontainers.image.title":       name,
		"org.opencontainers.image.description": description,
		"org.opencontainers.image.source":      "https://multinic.dev",
		"org.opencontainers.image.revision":    "0123abc",
		"org.opencontainers.image.version":     "v1.2.3",
		"org.opencontainers.image.created":     created,
		"org.opencontainers.image.licenses":    "Apache-2.0",
	}; !reflect.DeepEqual(got, want) {
		t.Errorf("its labels are %q, and should be %q", got, want)
	}
}

// wantStatic says what is wrong with a program that should run on a machine without any library.
func wantStatic(t *testing.T, arch string, content []byte) {
	t.Helper()
	file, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		t.Fatalf("read the program: %v", err)
	}
	if want := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[arch]; file.Machine != want {
		t.Errorf("the program is for %v, and should be for %v", file.Machine, want)
	}
	for _, part := range file.Progs {
		if part.Type == elf.PT_INTERP || part.Type == elf.PT_DYNAMIC {
			t.Errorf("the program needs libraries: it has a %v", part.Type)
		}
	}
}

// drivers are the modules of an image's program through which it could talk to a database: what go version -m lists.
func drivers(t *testing.T, image images.Image) []string {
	t.Helper()
	info, err := buildinfo.Read(bytes.NewReader(image.Files[0].Content))
	if err != nil {
		t.Fatalf("read what the program is made of: %v", err)
	}
	var found []string
	for _, module := range info.Deps {
		if strings.Contains(module.Path, "sql") {
			found = append(found, module.Path)
		}
	}

	return found
}

// component is one of what an SBOM lists.
type component struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// judgeSBOMs compares the components that each SBOM lists with the modules that the program itself names.
func (r run) judgeSBOMs(t *testing.T, w *workshop.Workshop, all made) {
	t.Helper()
	for key, image := range all {
		name, arch, _ := strings.Cut(key, " ")
		text, err := os.ReadFile(w.Path(filepath.Join(r.folder(), name+"-"+arch+".cdx.json")))
		if err != nil {
			t.Fatal(err)
		}
		var sbom struct {
			BOMFormat string `json:"bomFormat"`
			Metadata  struct {
				Component component `json:"component"`
			} `json:"metadata"`
			Components []component `json:"components"`
		}
		if err := json.Unmarshal(text, &sbom); err != nil {
			t.Fatalf("read the SBOM of %s: %v", key, err)
		}
		info, err := buildinfo.Read(bytes.NewReader(image.Files[0].Content))
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"std " + info.GoVersion}
		for _, module := range info.Deps {
			if module.Path == "multinic.dev/proto" {
				module.Version = sbom.Metadata.Component.Version // It is of the same commit.
			}
			want = append(want, module.Path+" "+module.Version)
		}
		got := make([]string, 0, len(sbom.Components))
		for _, component := range sbom.Components {
			got = append(got, component.Name+" "+component.Version)
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) || sbom.BOMFormat != "CycloneDX" || sbom.Metadata.Component.Version != "v1.2.3" {
			t.Errorf("the SBOM of %s, in the format %q and of version %q, lists\n%q\nand should list\n%q",
				key, sbom.BOMFormat, sbom.Metadata.Component.Version, got, want)
		}
	}
}

// wantSamePrograms compares all files of images with those of earlier ones, byte for byte.
func wantSamePrograms(t *testing.T, got, first made) {
	t.Helper()
	for key, image := range got {
		if len(image.Files) != 1 || !bytes.Equal(image.Files[0].Content, first[key].Files[0].Content) {
			t.Errorf("%s has other files than at first: %v", key, names(image.Files))
		}
	}
}

// wantSameIDs compares images as a whole, times and all.
func wantSameIDs(t *testing.T, got, first made) {
	t.Helper()
	for key, image := range got {
		if image.ID != first[key].ID {
			t.Errorf("%s is %s, and was %s at first", key, image.ID, first[key].ID)
		}
	}
}

// runs has docker run both images with no more than they need.
func runs(t *testing.T, w *workshop.Workshop, tag string) {
	t.Helper()
	for _, one := range []struct {
		name         string
		capabilities []confine.Capability
	}{{dispatcher, nil}, {executor, confine.Capabilities()}} {
		arguments := []string{"run", "--rm", "--network=none", "--read-only", "--security-opt=no-new-privileges", "--cap-drop=ALL"}
		for _, capability := range one.capabilities {
			arguments = append(arguments, "--cap-add="+capability.Name)
		}
		said := w.MustRun(nil, "docker", append(arguments, "registry.test/team/"+one.name+":"+tag, "--version")...)
		if want := one.name + " v1.2.3\n"; said != want {
			t.Errorf("it says %q, and should say %q", said, want)
		}
	}
}

// wantLabs compares an image's executor with the one that lab/host and lab/vm hold to its container's promises: what they show is true of
// the image only if both are the same.
func wantLabs(t *testing.T, image images.Image) {
	t.Helper()
	path, err := program.BuildStatic(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	labs, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(labs, image.Files[0].Content) {
		t.Error("the executor that the lab confines is not the image's")
	}
}

func names(files []images.File) []string {
	list := make([]string, 0, len(files))
	for _, file := range files {
		list = append(list, file.Name)
	}

	return list
}
