package kube

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
)

// WaitForNodes waits until nodes are ready, and nothing keeps pods away from them.
func (c *Cluster) WaitForNodes(names ...string) {
	c.t.Helper()
	client := kubernetes.NewForConfigOrDie(c.Config())
	for _, name := range names {
		var last *corev1.Node
		err := wait.PollUntilContextTimeout(c.t.Context(), readyInterval, startTimeout, true, func(ctx context.Context) (bool, error) {
			node, err := client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return false, nil //nolint:nilerr // It has not come yet.
			}
			last = node
			return ready(node), nil
		})
		if err != nil && last == nil {
			c.t.Fatalf("the node %s has not come: %v", name, err)
		}
		if err != nil {
			c.t.Fatalf("the node %s is not ready: %v: %v, taints %v", name, err, last.Status.Conditions, last.Spec.Taints)
		}
	}
}
