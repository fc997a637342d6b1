package deploy_test

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestSimpleDeploy is all that is held against one cluster.
func TestSimpleDeploy(t *testing.T) {
	s := prepare(t)
	t.Run("what cannot be is refused", func(t *testing.T) { s.in(t).refuses() })
	for _, builder := range []string{"buildah", "podman", "docker", nerdctl} {
		switch builder {
		case "docker":
			s.workshop.StartDocker()
		case nerdctl:
			s.workshop.StartContainerd()
			s.workshop.StartBuildKit()
			s.workshop.StartRegistry()
		}
		if builder != "podman" { // It has what buildah has.
			s.workshop.BuildBase([]string{"CONTAINERD_NAMESPACE=k8s.io"}, builder)
		}
		// Executors of two installations on one node would not do.
		if !t.Run(builder, func(t *testing.T) { s.in(t).installs(builder) }) {
			return
		}
	}
}

// nerdctl is the builder whose images come to the node by a registry. It builds with a containerd of its own; what the others build is
// imported into the node's.
const nerdctl = "nerdctl"

// installs deploys with a builder, twice, and takes it away again.
func (s *site) installs(builder string) {
	s.t.Helper()
	namespace := "multinic-" + builder
	settings := []string{"BUILDER=" + builder, "NAMESPACE=" + namespace, "IMAGE_TAG=" + builder}
	if builder == nerdctl {
		settings = append(settings, "REGISTRY="+repository, "CONTAINERD_ADDRESS=/run/containerd/containerd.sock")
	}
	if said, code := s.deploy(settings...); code != 0 {
		s.t.Fatalf("it exits with %d:\n%s\n%s", code, said, s.trouble(namespace))
	}
	s.judge(namespace, builder)
	before := s.state(namespace)
	if said, code := s.deploy(settings...); code != 0 {
		s.t.Fatalf("the second time it exits with %d:\n%s\n%s", code, said, s.trouble(namespace))
	}
	if after := s.state(namespace); after != before {
		s.t.Errorf("the second time it changes what was\n%s\ninto\n%s", before, after)
	}
	if builder == "buildah" { // One will do: from here on nothing is the builder's.
		s.replaces(namespace, before, settings)
	}
	s.workshop.MustRun(nil, "helm", "uninstall", "multinic", "--namespace", namespace, "--wait")
}

// replaces is the control of what changes nothing: another version under the same tag takes the place of what runs. Settings of the
// database are left out, and so all that was set stays.
func (s *site) replaces(namespace, before string, settings []string) {
	s.t.Helper()
	other := append(slices.Clone(settings), "VERSION=v1.2.4", "DB_HOST=", "DB_PORT=", "DB_USER=", "DB_NAME=", "DB_PASSWORD_FILE=", "VALUES_FILE=")
	if said, code := s.deploy(other...); code != 0 {
		s.t.Fatalf("with another version it exits with %d:\n%s\n%s", code, said, s.trouble(namespace))
	}
	s.judge(namespace, "buildah")
	if s.state(namespace) == before {
		s.t.Error("another version under the same tag changes nothing")
	}
}

// judge says what is wrong with the pods of an installation: each is ready, and runs the image that was built.
func (s *site) judge(namespace, tag string) {
	s.t.Helper()
	pods := s.pods(namespace)
	if len(pods) != 2 {
		s.t.Fatalf("there are %d pods, and should be a dispatcher and an executor", len(pods))
	}
	for _, pod := range pods {
		status, image, name := pod.Status.ContainerStatuses[0], pod.Spec.Containers[0].Image, "multinic-"+pod.Labels["app.kubernetes.io/component"]
		want, built, runs := "localhost/"+name+":"+tag, pod.Annotations["multinic.dev/image"], status.ImageID
		if tag == nerdctl { // What is in a registry is known by its digest there, which is part of the name.
			_, built, _ = strings.Cut(image, "@")
			_, runs, _ = strings.Cut(status.ImageID, "@")
			want = repository + "/" + name + ":" + tag + "@" + built
		}
		if !status.Ready || image != want {
			s.t.Errorf("%s: ready is %t, and its image is %s, which should be %s", pod.Name, status.Ready, image, want)
		}
		if built == "" || runs != built {
			s.t.Errorf("%s runs the image %q, and %q was built", pod.Name, runs, built)
		}
	}
}

// refuses has the script say what it cannot do, by what a real API server and a real Helm say.
func (s *site) refuses() {
	s.t.Helper()
	_, err := s.client.CoreV1().Namespaces().Create(s.t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: "harmless", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "baseline"},
	}}, metav1.CreateOptions{})
	s.must(err)
	s.workshop.Write("/root/wrong.yaml", "executor: {mode: observ}\n")
	for _, one := range []struct {
		settings []string
		code     int
		want     string
	}{
		{[]string{"NAMESPACE=harmless"}, 1, `the namespace harmless takes no privileged pods, and executors are in their nodes' network: `},
		{[]string{"VALUES_FILE=/root/wrong.yaml"}, 2, "the chart refuses these settings: "},
		{[]string{"KUBE_CONTEXT=elsewhere"}, 1, `the cluster of the context "elsewhere" does not answer: `},
		{[]string{"DB_PASSWORD_FILE=", "DB_SECRET=own"}, 2, "DB_SECRET is own, which cannot be read in the namespace multinic: "},
	} {
		said, code := s.deploy(append([]string{"BUILDER=buildah", "IMAGE_TAG=dev"}, one.settings...)...)
		if code != one.code || !strings.Contains(said, "deploy: "+one.want) || strings.Contains(said, "build both") {
			s.t.Errorf("with %q it exits with %d, and should with %d; it says\n%sand should say\n%s", one.settings, code, one.code, said, one.want)
		}
	}
}

// trouble is what the cluster says of an installation that does not come about.
func (s *site) trouble(namespace string) string {
	said, _ := s.workshop.Run(nil, "kubectl", "--namespace", namespace, "get", "pods,events", "--output", "wide")
	log, _ := s.workshop.Run(nil, "kubectl", "--namespace", namespace, "logs", "--prefix", "--tail", "10", "--selector", "app.kubernetes.io/instance=multinic")
	return said + log
}
