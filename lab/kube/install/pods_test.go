package install_test

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// pods are those of a tier that are not on their way out.
func (s *site) pods(tier string) []corev1.Pod {
	s.t.Helper()
	return slices.DeleteFunc(s.allPods(tier), func(pod corev1.Pod) bool { return pod.DeletionTimestamp != nil })
}

// allPods are those of a tier, also those on their way out.
func (s *site) allPods(tier string) []corev1.Pod {
	s.t.Helper()
	list, err := s.client.CoreV1().Pods(namespace).List(context.WithoutCancel(s.t.Context()), metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=" + tier})
	s.must(err)
	return list.Items
}

// podOn is the pod of a tier on a node.
func (s *site) podOn(tier, node string) corev1.Pod {
	s.t.Helper()
	for _, pod := range s.pods(tier) {
		if pod.Spec.NodeName == node {
			return pod
		}
	}
	s.t.Fatalf("there is no %s on %s: %s", tier, node, s.state())
	return corev1.Pod{}
}

// exists says whether a pod is there still, if only on its way out.
func (s *site) exists(pod corev1.Pod) bool {
	s.t.Helper()
	now, err := s.client.CoreV1().Pods(namespace).Get(s.t.Context(), pod.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false
	}
	s.must(err)
	return now.UID == pod.UID
}

// evict asks a pod away, with so many seconds for its end, or as many as it wants.
func (s *site) evict(pod corev1.Pod, grace *int64) {
	s.t.Helper()
	s.must(s.client.CoreV1().Pods(namespace).EvictV1(s.t.Context(), &policyv1.Eviction{
		ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: namespace}, DeleteOptions: &metav1.DeleteOptions{GracePeriodSeconds: grace},
	}))
}

func isReady(pod *corev1.Pod) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}
