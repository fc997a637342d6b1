package kube

import (
	"os"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	// configEnv names the cluster that a suite is held against, if it is not to start one: a file, as kubectl has it.
	configEnv = "KUBECONFIG"
	// givenImageEnv names an image that nodes of that cluster can pull and that has a `tail`.
	givenImageEnv = "KUBE_IMAGE"
)

// Given says whether the suite is held against a cluster that is there.
func Given() bool { return os.Getenv(configEnv) != "" }

// Access is how a test that can be held against any cluster gets at one.
type Access struct {
	// Config is an administrator's. The caller may change it.
	Config *rest.Config
	// Kubeconfig is the file by which other programs are that administrator.
	Kubeconfig string
	// Nodes are the names of nodes that are ready.
	Nodes []string
	// Image is of a container that can run tail(1).
	Image string
}

// Take is the cluster that KUBECONFIG names, or one that is started now, with nodes of these names.
func Take(tb testing.TB, names ...string) Access {
	tb.Helper()
	if Given() {
		return given(tb, len(names))
	}
	c := Start(tb)
	for _, name := range names {
		c.AddNode(name)
	}
	c.WaitForNodes(names...)
	return Access{Config: c.Config(), Kubeconfig: c.Kubeconfig(), Nodes: names, Image: Image}
}

// given is the cluster that is there, if it has as many nodes that are ready.
func given(tb testing.TB, wanted int) Access {
	tb.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv(configEnv))
	if err != nil {
		tb.Fatalf("read %s: %v", configEnv, err)
	}
	nodes, err := kubernetes.NewForConfigOrDie(config).CoreV1().Nodes().List(tb.Context(), metav1.ListOptions{})
	if err != nil {
		tb.Fatalf("list the nodes of the cluster of %s: %v", configEnv, err)
	}
	access := Access{Config: config, Kubeconfig: os.Getenv(configEnv), Image: os.Getenv(givenImageEnv)}
	for i := range nodes.Items {
		if ready(&nodes.Items[i]) && len(access.Nodes) < wanted {
			access.Nodes = append(access.Nodes, nodes.Items[i].Name)
		}
	}
	switch {
	case len(access.Nodes) < wanted:
		tb.Skipf("the cluster of %s has %d nodes that are ready, and this test needs %d", configEnv, len(access.Nodes), wanted)
	case wanted > 0 && access.Image == "":
		tb.Skipf("%s is not set: it names an image that the nodes of the cluster of %s can pull, and that has a tail", givenImageEnv, configEnv)
	}
	return access
}

// ready says whether a node is, and takes pods.
func ready(node *corev1.Node) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue && !node.Spec.Unschedulable && len(node.Spec.Taints) == 0
		}
	}
	return false
}
