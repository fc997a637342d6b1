package images_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"multinic.dev/lab/images"
	"multinic.dev/lab/workshop"
)

const (
	// committed is the time of the commit that the tests say they build, in seconds since 1970, and created the same for people.
	committed = "1700000000"
	created   = "2023-11-14T22:13:20Z"
	// outputs is the folder in the workshop below which each run has its SBOMs and archives.
	outputs = "/var/tmp"
)

// made are the images that one run of tools/images has made, by program and machine: "multinic-executor arm64".
type made map[string]images.Image

// run is a run of tools/images.
type run struct {
	// name is the images' tag; it is unique.
	name string
	// variables are those of tools/images beyond what all runs have.
	variables []string
	// arches are the machines for which images are built.
	arches []string
}

// make builds images in a workshop, and reads them.
func (r run) make(t *testing.T, w *workshop.Workshop) made {
	t.Helper()
	w = w.In(t)
	environment := append([]string{
		"IMAGE_TAG=" + r.name, "REGISTRY=registry.test/team/", "ARCHES=" + strings.Join(r.arches, " "), "SBOM_DIR=" + r.folder(),
		"VERSION=v1.2.3", "REVISION=0123abc", "SOURCE_DATE_EPOCH=" + committed,
		"SBOM_TOOL=" + filepath.Join(workshop.Tools, filepath.Base(os.Getenv(sbomTool))),
	}, r.variables...)
	said := w.MustRun(environment, filepath.Join(workshop.Source, "tools/images"))
	got := made{}
	for _, arch := range r.arches {
		for _, program := range []string{dispatcher, executor} {
			if want := fmt.Sprintf("images: built %s;", r.image(program, arch)); !strings.Contains(said, want) {
				t.Errorf("tools/images does not say %q, but:\n%s", want, said)
			}
			got[program+" "+arch] = r.read(t, w, program, arch, environment)
		}
	}

	return got
}

// folder is where the run's SBOMs and archives are, in the workshop.
func (r run) folder() string { return filepath.Join(outputs, r.name) }

// image is an image's name.
func (r run) image(program, arch string) string {
	name := "registry.test/team/" + program + ":" + r.name
	if len(r.arches) > 1 {
		name += "-" + arch
	}

	return name
}

// read reads an image by way of the builder that has made it.
func (r run) read(t *testing.T, w *workshop.Workshop, program, arch string, environment []string) images.Image {
	t.Helper()
	archive, name := filepath.Join(r.folder(), program+"-"+arch+".tar"), r.image(program, arch)
	switch builder := r.variables[0]; builder {
	case "BUILDER=buildah":
		w.MustRun(environment, "buildah", "push", "--quiet", name, "docker-archive:"+archive+":"+name)
	default:
		w.MustRun(environment, strings.TrimPrefix(builder, "BUILDER="), "save", "--output", archive, name)
	}
	image, err := images.Read(w.Path(archive))
	if err != nil {
		t.Fatal(err)
	}

	return image
}
