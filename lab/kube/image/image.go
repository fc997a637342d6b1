// Package image writes images of containers as the archives that containerd imports: a few files, and nothing else.
package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"slices"
)

// Image is what an archive is made of.
type Image struct {
	// Name has a tag, such as "multinic.dev/lab/pause:1".
	Name string
	// Programs are files that can be executed, by their paths without the leading slash.
	Programs map[string][]byte
	// Entrypoint is what a container runs that asks for nothing else.
	Entrypoint []string
	// User is who it runs as, such as "65532:65532"; empty: root.
	User string
}

// config is an image's configuration, as the OCI image specification has it.
type config struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	Config       struct {
		Entrypoint []string `json:"Entrypoint"`
		Env        []string `json:"Env"`
		User       string   `json:"User,omitempty"`
	} `json:"config"`
	RootFS struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"`
	} `json:"rootfs"`
}

// manifest is one entry of manifest.json, as `docker save` writes it.
type manifest struct {
	Config   string   `json:"Config"`
	RepoTags []string `json:"RepoTags"`
	Layers   []string `json:"Layers"`
}

// Write writes the archive of an image. Equal images have equal archives.
func Write(w io.Writer, image Image) error {
	layer, err := archive(image.Programs, 0o755)
	if err != nil {
		return err
	}
	configured := config{Architecture: runtime.GOARCH, OS: "linux"}
	configured.Config.Entrypoint, configured.Config.Env = image.Entrypoint, []string{"PATH=/bin"}
	configured.Config.User = image.User
	configured.RootFS.Type, configured.RootFS.DiffIDs = "layers", []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer))}
	described, err := json.Marshal(configured)
	if err != nil {
		return fmt.Errorf("describe the image %s: %w", image.Name, err)
	}
	name := fmt.Sprintf("%x.json", sha256.Sum256(described))
	listed, err := json.Marshal([]manifest{{Config: name, RepoTags: []string{image.Name}, Layers: []string{"layer.tar"}}})
	if err != nil {
		return fmt.Errorf("list the image %s: %w", image.Name, err)
	}
	whole, err := archive(map[string][]byte{name: described, "layer.tar": layer, "manifest.json": listed}, 0o644)
	if err != nil {
		return err
	}
	if _, err := w.Write(whole); err != nil {
		return fmt.Errorf("write the image %s: %w", image.Name, err)
	}
	return nil
}

// archive is a tar of files, in the order of their names and without any date.
func archive(files map[string][]byte, mode int64) ([]byte, error) {
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	var into bytes.Buffer
	w := tar.NewWriter(&into)
	for _, name := range names {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(files[name])), Typeflag: tar.TypeReg}); err != nil {
			return nil, fmt.Errorf("archive %s: %w", name, err)
		}
		if _, err := w.Write(files[name]); err != nil {
			return nil, fmt.Errorf("archive %s: %w", name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("end an archive: %w", err)
	}
	return into.Bytes(), nil
}
