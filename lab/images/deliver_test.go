package images_test

import (
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"multinic.dev/lab/workshop"
)

// config is what tells of an image's configuration what it is: what is compared with what was built.
type config struct {
	Architecture string `json:"architecture"`
	Config       struct {
		Entrypoint []string          `json:"Entrypoint"`
		Labels     map[string]string `json:"Labels"`
	} `json:"config"`
}

// TestDelivery has the deploy script bring images to containerd and to a registry, with each builder that can be had.
func TestDelivery(t *testing.T) {
	for _, builder := range []struct {
		name, script string
		environment  []string // of the base image's build
		start        func(*workshop.Workshop)
	}{
		{"nerdctl", "nerdctl-deploy.sh", []string{"CONTAINERD_NAMESPACE=k8s.io"}, (*workshop.Workshop).StartBuildKit},
		{"docker", "simple-deploy.sh", nil, (*workshop.Workshop).StartDocker},
		{"podman", "simple-deploy.sh", nil, func(*workshop.Workshop) {}},
		{"buildah", "simple-deploy.sh", nil, func(*workshop.Workshop) {}},
	} {
		t.Run(builder.name, func(t *testing.T) {
			w := open(t)
			w.StartContainerd()
			w.StartRegistry()
			builder.start(w)
			w.BuildBase(builder.environment, builder.name)
			deliver(t, w, builder.name, builder.script)
		})
	}
}

// deliver builds both images and brings them to containerd and to a registry, as for a cluster. The second time they must be the very same,
// or pods would be replaced for nothing.
func deliver(t *testing.T, w *workshop.Workshop, builder, script string) {
	t.Helper()
	repository := workshop.Registry + "/team"
	run := func(delivery string) string {
		return w.MustRun([]string{
			"DELIVERY=" + delivery, "BUILDER=" + builder, "IMAGE_TAG=dev", "REGISTRY=" + repository,
			"VERSION=v1.2.3", "REVISION=0123abc", "SOURCE_DATE_EPOCH=" + committed,
		}, filepath.Join(workshop.Source, "deploy", script), "--images-only")
	}
	run("containerd")
	first := map[string]string{}
	for _, name := range []string{dispatcher, executor} {
		first[name] = imported(t, w, name, repository+"/"+name+":dev")
	}
	for name, digest := range pushed(t, run("registry")) {
		if again := registryConfig(t, name, digest); again != first[name] {
			t.Errorf("the registry has %s as %s, and containerd as %s", name, again, first[name])
		}
	}
}

// imported is the digest of the configuration that containerd has of an image, where the kubelet looks for it.
func imported(t *testing.T, w *workshop.Workshop, name, reference string) string {
	t.Helper()
	list := w.MustRun(nil, "ctr", "--namespace", "k8s.io", "images", "list", "name=="+reference)
	digest := digests.FindString(list)
	if digest == "" {
		t.Fatalf("containerd does not know %s:\n%s", reference, list)
	}
	var manifest struct {
		Manifests []struct {
			Digest string `json:"digest"`
		} `json:"manifests"`
		Config struct {
			Digest string `json:"digest"`
		} `json:"config"`
	}
	content := func(digest string) []byte {
		return []byte(w.MustRun(nil, "ctr", "--namespace", "k8s.io", "content", "get", digest))
	}
	for manifest.Config.Digest == "" {
		if err := json.Unmarshal(content(digest), &manifest); err != nil {
			t.Fatalf("read what %s is: %v", reference, err)
		}
		if manifest.Config.Digest == "" { // It is an index, of one machine.
			digest, manifest.Manifests = manifest.Manifests[0].Digest, nil
		}
	}
	wantConfig(t, name, content(manifest.Config.Digest))

	return manifest.Config.Digest
}

// digests is the form of a digest.
var digests = regexp.MustCompile(`sha256:[0-9a-f]{64}`)

// pushed are the digests that the script says, by image.
func pushed(t *testing.T, said string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, match := range regexp.MustCompile(`deploy: (\S+) is (sha256:\S+) there`).FindAllStringSubmatch(said, -1) {
		found[match[1]] = match[2]
	}
	if len(found) != 2 {
		t.Fatalf("it does not say what it has pushed:\n%s", said)
	}

	return found
}

// registryConfig is the digest of the configuration that the registry has of an image that was pushed.
func registryConfig(t *testing.T, name, digest string) string {
	t.Helper()
	var manifest struct {
		Config struct {
			Digest string `json:"digest"`
		} `json:"config"`
	}
	if err := json.Unmarshal(get(t, "http://"+workshop.Registry+"/v2/team/"+name+"/manifests/"+digest), &manifest); err != nil {
		t.Fatalf("read the manifest: %v", err)
	}
	wantConfig(t, name, get(t, "http://"+workshop.Registry+"/v2/team/"+name+"/blobs/"+manifest.Config.Digest))

	return manifest.Config.Digest
}

func get(t *testing.T, url string) []byte {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", strings.Join([]string{
		"application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json",
	}, ","))
	request.Close = true
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatalf("ask the registry: %v", err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v: %s", url, answer.Status, err, text)
	}

	return text
}

// wantConfig says what is wrong with the configuration of an image that was brought somewhere.
func wantConfig(t *testing.T, name string, text []byte) {
	t.Helper()
	var got config
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatalf("read the configuration of %s: %v", name, err)
	}
	if len(got.Config.Entrypoint) != 1 || got.Config.Entrypoint[0] != "/"+name || got.Architecture != "amd64" || got.Config.Labels["org.opencontainers.image.version"] != "v1.2.3" {
		t.Errorf("%s is there, and is %s", name, text)
	}
}
