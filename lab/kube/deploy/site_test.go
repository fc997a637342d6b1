package deploy_test

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"multinic.dev/lab/kube"
	"multinic.dev/lab/kube/built"
	"multinic.dev/lab/workshop"
	"multinic.dev/testbed/mariadb"
)

const (
	// node is the cluster's only one. The script runs on it, as far as it can tell: under its name, and with its containerd.
	node = "node-a"
	// user is the dispatcher's account of the database.
	user = "reader"
	// repository is where images are pushed, from where the node pulls them.
	repository = workshop.Registry + "/team"
	// passwordFile and valuesFile are in the workshop.
	passwordFile, valuesFile = "/root/password", "/root/values.yaml"
)

// site is a cluster of one node with a database, and a workshop from which it is deployed to. It belongs to one goroutine.
type site struct {
	t        *testing.T
	client   *kubernetes.Clientset
	node     *kube.Node
	db       *mariadb.Server
	workshop *workshop.Workshop
}

// in is the same for a part of the test.
func (s *site) in(t *testing.T) *site {
	t.Helper()
	of := *s
	of.t, of.workshop = t, s.workshop.In(t)
	return &of
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// prepare makes a site. The workshop has kubectl and helm, and is the cluster's administrator.
func prepare(t *testing.T) *site {
	t.Helper()
	cluster := kube.Start(t)
	helm, err := filepath.EvalSymlinks(os.Getenv("HELM"))
	if err != nil {
		t.Fatalf("find helm (HELM), which make test-kube brings: %v", err)
	}
	s := &site{t: t, client: kubernetes.NewForConfigOrDie(cluster.Config()), node: cluster.AddNode(node), workshop: workshop.Open(t, filepath.Dir(helm))}
	password := rand.Text()
	s.db = cluster.StartDatabase(user, password)
	s.workshop.Write(passwordFile, password+"\n")
	components, err := built.Path()
	s.must(err)
	s.workshop.AddProgram(components, "components")
	s.workshop.AddScript("kubectl", "#!/bin/sh\nexec components kubectl \"$@\"\n")
	s.workshop.AddScript("helm", "#!/bin/sh\nexec "+filepath.Join(workshop.Tools, filepath.Base(helm))+" \"$@\"\n")
	access, err := os.ReadFile(cluster.Kubeconfig())
	s.must(err)
	s.workshop.Write("/root/.kube/config", string(access))
	// The node has no Netplan.
	s.workshop.Write(valuesFile, "executor: {backend: netlink}\n")
	cluster.WaitForNodes(node)
	return s
}

// deploy runs the script on the node with settings beside those of the database, and returns what it said and the code with which it exited.
func (s *site) deploy(settings ...string) (said string, code int) {
	s.t.Helper()
	environment := append([]string{
		"CONTAINERD_ADDRESS=" + s.node.Outside("/run/containerd/containerd.sock"), "TIMEOUT=3m",
		"DB_HOST=" + s.db.Host(), "DB_PORT=" + strconv.Itoa(s.db.Port()), "DB_USER=" + user, "DB_NAME=multinic", "DB_PASSWORD_FILE=" + passwordFile,
		"VALUES_FILE=" + valuesFile, "VERSION=v1.2.3", "REVISION=0123abc", "SOURCE_DATE_EPOCH=1700000000",
	}, settings...)
	return s.workshop.Run(environment, "unshare", "--uts", "sh", "-c", `echo "$0" >/proc/sys/kernel/hostname && exec "$@"`,
		node, filepath.Join(workshop.Source, "deploy/simple-deploy.sh"))
}

// state is what there is of an installation: what each object is known by, and what changes with it. What Helm notes for itself, which it
// does each time, is none of it.
func (s *site) state(namespace string) string {
	s.t.Helper()
	ctx, all := s.t.Context(), metav1.ListOptions{}
	var text strings.Builder
	secrets, err := s.client.CoreV1().Secrets(namespace).List(ctx, all)
	s.must(err)
	for _, one := range secrets.Items {
		if one.Type != "helm.sh/release.v1" {
			fmt.Fprintf(&text, "secret %s %s %s\n", one.Name, one.UID, one.ResourceVersion)
		}
	}
	maps, err := s.client.CoreV1().ConfigMaps(namespace).List(ctx, all)
	s.must(err)
	for _, one := range maps.Items {
		fmt.Fprintf(&text, "config map %s %s %s\n", one.Name, one.UID, one.ResourceVersion)
	}
	deployments, err := s.client.AppsV1().Deployments(namespace).List(ctx, all)
	s.must(err)
	for _, one := range deployments.Items {
		fmt.Fprintf(&text, "deployment %s %s %d\n", one.Name, one.UID, one.Generation)
	}
	sets, err := s.client.AppsV1().DaemonSets(namespace).List(ctx, all)
	s.must(err)
	for _, one := range sets.Items {
		fmt.Fprintf(&text, "daemon set %s %s %d\n", one.Name, one.UID, one.Generation)
	}
	for _, one := range s.pods(namespace) {
		fmt.Fprintf(&text, "pod %s %s\n", one.Name, one.UID)
	}
	return text.String()
}

// pods are those of a namespace that are not on their way out.
func (s *site) pods(namespace string) []corev1.Pod {
	s.t.Helper()
	list, err := s.client.CoreV1().Pods(namespace).List(s.t.Context(), metav1.ListOptions{})
	s.must(err)
	var there []corev1.Pod
	for _, pod := range list.Items {
		if pod.DeletionTimestamp == nil {
			there = append(there, pod)
		}
	}
	return there
}
