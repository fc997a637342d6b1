package install_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"multinic.dev/lab/kube"
	"multinic.dev/testbed/mariadb"
)

const (
	namespace = "multinic"
	release   = "multinic"
	chart     = "../../../deploy/helm/multinic"
	// keeper is the node that is of the control plane, on which the dispatcher prefers to be; the others are workers.
	keeper, workerA, workerB = "node-c", "node-a", "node-b"
	// passwordSecret has the database's password.
	passwordSecret = "multinic-database"
	// patience is how long the cluster may take for what must happen, on a machine that is busy.
	patience = 3 * time.Minute
	// look is how often it is looked whether it has.
	look = 50 * time.Millisecond
)

// site is a cluster with all that an installation needs, and what is done with one. It belongs to one goroutine.
type site struct {
	t       *testing.T
	cluster *kube.Cluster
	client  *kubernetes.Clientset
	nodes   map[string]*kube.Node
	db      *mariadb.Server
	// user and password are the dispatcher's account.
	user, password string
	// tag is the version that is installed.
	tag string
}

// in is the same for a part of the test.
func (s *site) in(t *testing.T) *site {
	t.Helper()
	of := *s
	of.t = t
	return &of
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// prepare makes a site: three nodes that have the images, and two cards each; and a database, in which the dispatcher has an account as
// docs/install.md says.
func prepare(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, cluster: kube.Start(t), nodes: map[string]*kube.Node{}, tag: first}
	s.client = kubernetes.NewForConfigOrDie(s.cluster.Config())
	for _, name := range []string{keeper, workerA, workerB} {
		s.addNode(name)
	}
	// Nothing else is called so, or has such a text in it.
	s.user, s.password = "reader"+strings.ToLower(rand.Text()[:8]), rand.Text()
	s.db = s.cluster.StartDatabase(s.user, s.password)
	s.cluster.WaitForNodes(keeper, workerA, workerB)
	s.label(keeper, "node-role.kubernetes.io/control-plane", "")
	s.makeNamespace()
	return s
}

// addNode adds a node with its cards and the images.
func (s *site) addNode(name string) {
	s.t.Helper()
	n := s.cluster.AddNode(name)
	s.nodes[name] = n
	for _, row := range s.rows(name) {
		n.PlugIn("extra"+row.MAC[len(row.MAC)-1:], row.MAC, nil)
	}
	all, err := archives()
	s.must(err)
	for _, archive := range all {
		n.Import(archive)
	}
}

// makeNamespace makes the installation's, as docs/install.md says, with the database's password.
func (s *site) makeNamespace() {
	s.t.Helper()
	ctx := s.t.Context()
	_, err := s.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: namespace, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "privileged"},
	}}, metav1.CreateOptions{})
	s.must(err)
	_, err = s.client.CoreV1().Secrets(namespace).Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: passwordSecret}, StringData: map[string]string{"password": s.password},
	}, metav1.CreateOptions{})
	s.must(err)
}

func (s *site) label(node, name, value string) {
	s.t.Helper()
	patch := fmt.Sprintf(`{"metadata":{"labels":{%q:%q}}}`, name, value)
	_, err := s.client.CoreV1().Nodes().Patch(s.t.Context(), node, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	s.must(err)
}

// helm runs helm as the cluster's administrator. An error ends the test.
func (s *site) helm(arguments ...string) {
	s.t.Helper()
	if out, err := s.tryHelm(arguments...); err != nil {
		s.t.Fatalf("helm %s: %v: %s\n%s", arguments[0], err, out, s.state())
	}
}

// tryHelm runs helm, and returns what it says.
func (s *site) tryHelm(arguments ...string) (string, error) {
	s.t.Helper()
	path := os.Getenv("HELM")
	if path == "" {
		s.t.Fatal("HELM is not set: make test-kube brings helm")
	}
	cmd := exec.CommandContext(s.t.Context(), path, append(arguments, "--namespace="+namespace)...)
	cmd.Env = []string{"HOME=" + s.t.TempDir(), "PATH=" + os.Getenv("PATH"), "KUBECONFIG=" + s.cluster.Kubeconfig()}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// values are those of an installation, as arguments of helm, with further ones.
func (s *site) values(more ...string) []string {
	var arguments []string
	for _, value := range append([]string{
		"database.host=" + s.db.Host(), "database.port=" + strconv.Itoa(s.db.Port()),
		"database.user=" + s.user, "database.name=multinic", "database.existingSecret=" + passwordSecret,
		"image.registry=" + registry,
		"executor.backend=netlink",
		// Two of three at a time, so that an upgrade is over in two turns.
		"executor.maxUnavailable=2",
		"viewers[0].kind=ServiceAccount", "viewers[0].name=" + viewer, "viewers[0].namespace=" + namespace,
	}, more...) {
		arguments = append(arguments, "--set="+value)
	}
	return append(arguments, "--set-string=image.tag="+s.tag)
}

// until waits until something is so; complaint says what is in its place when time is up.
func (s *site) until(so func() bool, complaint func() string) {
	s.t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(look)
	defer tick.Stop()
	for !so() {
		if time.Now().After(deadline) {
			s.t.Fatalf("%s\n%s", complaint(), s.state())
		}
		<-tick.C
	}
}

// state is what there is of the installation, for a test that has failed: its pods, the last of their logs, and what has happened to them.
func (s *site) state() string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.t.Context()), 20*time.Second)
	defer cancel()
	var text strings.Builder
	pods, err := s.client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err.Error()
	}
	for _, pod := range pods.Items {
		fmt.Fprintf(&text, "pod %s on %s: %s", pod.Name, pod.Spec.NodeName, pod.Status.Phase)
		for _, container := range pod.Status.ContainerStatuses {
			fmt.Fprintf(&text, ", ready %t, restarts %d, %v", container.Ready, container.RestartCount, container.State)
		}
		lines := int64(15)
		log, err := s.client.CoreV1().Pods(namespace).GetLogs(pod.Name, &corev1.PodLogOptions{TailLines: &lines}).DoRaw(ctx)
		fmt.Fprintf(&text, "\n%s%v\n", log, err)
	}
	events, err := s.client.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return text.String() + err.Error()
	}
	for _, event := range events.Items[max(0, len(events.Items)-20):] {
		fmt.Fprintf(&text, "%s %s: %s\n", event.InvolvedObject.Name, event.Reason, event.Message)
	}
	return text.String()
}
