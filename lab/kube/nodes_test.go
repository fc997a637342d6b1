package kube_test

import (
	"context"
	"io"
	"path/filepath"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"

	"multinic.dev/lab/kube"
)

const (
	// tokenPath is where a pod of the test has its token.
	tokenPath = "/var/run/secrets/multinic/token"
	// podTimeout is how long a pod may take until it runs and has spoken, on a machine that is busy. It takes seconds.
	podTimeout = 3 * time.Minute
	// podInterval is how often it is looked whether it does.
	podInterval = 100 * time.Millisecond
)

// TestAPodsOwnTokenSaysWhichNodeItIsOn is what an executor's identity stands on, from one end to the other: on each node a pod
// gets its token from its kubelet, and the API server says of it whose it is, and where.
func TestAPodsOwnTokenSaysWhichNodeItIsOn(t *testing.T) {
	cluster := kube.Take(t, "node-a", "node-b")
	client := kubernetes.NewForConfigOrDie(cluster.Config)
	inNamespace(t, client)
	makeAccount(t, client, account)

	for _, node := range cluster.Nodes {
		pod := runPod(t, client, "executor-on-"+node, node, cluster.Image)
		token := speaks(t, client, pod)
		runs(t, client, pod)
		want := said{
			Username:  "system:serviceaccount:multinic-test:executor",
			Audiences: []string{audience},
			Node:      []string{node}, Pod: []string{pod.Name}, UID: []string{string(pod.UID)},
		}
		if got := says(review(t, client, token)); !equal(got, want) {
			t.Errorf("TokenReview says of the pod's token on %s: %+v, and not %+v", node, got, want)
		}
	}
}

// runPod makes a pod that shows its token for the dispatcher, and then runs.
func runPod(t *testing.T, client *kubernetes.Clientset, name, node, image string) *corev1.Pod {
	t.Helper()
	lifetime, no, noGrace := int64(600), false, int64(0) // Ten minutes are the least that a token may last.
	mounts := []corev1.VolumeMount{{Name: "token", MountPath: filepath.Dir(tokenPath)}}
	pod, err := client.CoreV1().Pods(namespace).Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PodSpec{
			NodeName: node, ServiceAccountName: account, AutomountServiceAccountToken: &no, TerminationGracePeriodSeconds: &noGrace,
			// A log shows whole lines, and a token has no end of one: so the container ends instead.
			InitContainers: []corev1.Container{{Name: "show", Image: image, Command: []string{"tail", tokenPath}, VolumeMounts: mounts}},
			Containers:     []corev1.Container{{Name: "stay", Image: image, Command: []string{"tail", "-f", tokenPath}, VolumeMounts: mounts}},
			Volumes: []corev1.Volume{{Name: "token", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
				Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{
					Audience: audience, ExpirationSeconds: &lifetime, Path: "token",
				}}},
			}}}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return pod
}

// runs waits until a pod does.
func runs(t *testing.T, client *kubernetes.Clientset, pod *corev1.Pod) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), podInterval, podTimeout, true, func(ctx context.Context) (bool, error) {
		now, err := client.CoreV1().Pods(namespace).Get(ctx, pod.Name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		return now.Status.Phase == corev1.PodRunning, nil
	})
	if err != nil {
		t.Errorf("the pod %s does not run: %v", pod.Name, err)
	}
}

// speaks waits until a pod has printed something, and returns that.
func speaks(t *testing.T, client *kubernetes.Clientset, pod *corev1.Pod) string {
	t.Helper()
	var log string
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), podInterval, podTimeout, true, func(ctx context.Context) (bool, error) {
		stream, err := client.CoreV1().Pods(namespace).GetLogs(pod.Name, &corev1.PodLogOptions{Container: "show"}).Stream(ctx)
		if err != nil {
			last = err
			return false, nil //nolint:nilerr // It has not begun to run.
		}
		text, err := io.ReadAll(stream)
		log, last = string(text), err
		return log != "", stream.Close()
	})
	if err == nil {
		return log
	}
	t.Errorf("the pod %s has said nothing: %v, %v", pod.Name, err, last)
	if now, err := client.CoreV1().Pods(namespace).Get(t.Context(), pod.Name, metav1.GetOptions{}); err == nil {
		t.Logf("it is %+v", now.Status)
	}
	if events, err := client.CoreV1().Events(namespace).List(t.Context(), metav1.ListOptions{}); err == nil {
		slices.Reverse(events.Items)
		for i := range events.Items {
			t.Logf("%s: %s", events.Items[i].Reason, events.Items[i].Message)
		}
	}
	t.FailNow()
	return ""
}
