package image_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"runtime"
	"testing"

	"multinic.dev/lab/kube/image"
)

func TestAnImageIsItsFilesAndWhatRuns(t *testing.T) {
	var archive bytes.Buffer
	err := image.Write(&archive, image.Image{
		Name: "multinic.dev/lab/pause:1", Programs: map[string][]byte{"bin/b": []byte("two"), "bin/a": []byte("one")}, Entrypoint: []string{"/bin/a"}, User: "7:8",
	})
	if err != nil {
		t.Fatal(err)
	}

	files := unpack(t, archive.Bytes())
	layer := files["layer.tar"]
	config := fmt.Sprintf(`{"architecture":%q,"os":"linux","config":{"Entrypoint":["/bin/a"],"Env":["PATH=/bin"],"User":"7:8"},"rootfs":{"type":"layers","diff_ids":["sha256:%x"]}}`,
		runtime.GOARCH, sha256.Sum256(layer))
	name := fmt.Sprintf("%x.json", sha256.Sum256([]byte(config)))
	if got := string(files[name]); got != config {
		t.Errorf("the configuration %s is %s", name, got)
	}
	if got, want := string(files["manifest.json"]), `[{"Config":"`+name+`","RepoTags":["multinic.dev/lab/pause:1"],"Layers":["layer.tar"]}]`; got != want {
		t.Errorf("the manifest is %s", got)
	}
	if inside := unpack(t, layer); len(inside) != 2 || string(inside["bin/a"]) != "one" || string(inside["bin/b"]) != "two" {
		t.Errorf("the layer has %v", inside)
	}
}

func TestEqualImagesHaveEqualArchives(t *testing.T) {
	programs := map[string][]byte{}
	for i := range 20 { // So that an order by chance would show.
		programs[fmt.Sprintf("bin/%d", i)] = []byte{byte(i)}
	}
	var first, second, other bytes.Buffer
	err := errors.Join(
		image.Write(&first, image.Image{Name: "a:1", Programs: programs}),
		image.Write(&second, image.Image{Name: "a:1", Programs: programs}),
		image.Write(&other, image.Image{Name: "a:2", Programs: programs}),
	)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("two archives of one image differ")
	}
	if bytes.Equal(first.Bytes(), other.Bytes()) {
		t.Error("archives of different images are equal")
	}
}

// unpack is the contents of an archive by name. What is not an ordinary file fails the test.
func unpack(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Typeflag != tar.TypeReg {
			t.Fatalf("%s is not a file", header.Name)
		}
		if files[header.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}
