package install_test

import (
	"fmt"
	"strings"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"multinic.dev/lab/kube/built"
)

const (
	// pause is for how long the API server answers nothing: twice as long as the dispatcher keeps its answers.
	pause = 20 * time.Second
	// back is how long the service may take to be back, from when the cluster has made the dispatcher another pod.
	back = time.Minute
)

// apiServerPaused holds that nobody misses the API server who is in session already: rows go on becoming true, and nothing else happens.
func (s *site) apiServerPaused() {
	w := s.listen(keeper, workerA, workerB)
	before := s.restarts()
	resume := s.cluster.Pause(built.APIServer)
	s.t.Cleanup(resume)
	rounds := 0
	for began := time.Now(); time.Since(began) < pause; rounds++ {
		s.works(workerA, workerB)
	}
	resume()
	s.cluster.WaitForNodes(keeper, workerA, workerB)
	s.works(workerA, workerB)
	s.t.Logf("rows became true %d times while the API server answered nothing", rounds)
	if after := s.restarts(); after != before {
		s.t.Errorf("containers were\n%s\nand are\n%s", before, after)
	}
	w.silent("the API server was paused")
}

// restarts are the installation's containers, with how often each was started again.
func (s *site) restarts() string {
	s.t.Helper()
	var text strings.Builder
	for _, tier := range []string{"dispatcher", "executor"} {
		for _, pod := range s.pods(tier) {
			for _, container := range pod.Status.ContainerStatuses {
				fmt.Fprintf(&text, "%s %s %d\n", pod.Name, container.Name, container.RestartCount)
			}
		}
	}
	return text.String()
}

// twoDispatchersAtOnce holds that a second one, whoever has started it, does no harm: nodes are with the one or the other.
func (s *site) twoDispatchersAtOnce() {
	w := s.listen(workerA, workerB)
	s.scale(2)
	// Services send who comes to the one or the other, by chance.
	s.evict(s.podOn("executor", workerB), nil)
	for range 5 {
		s.works(workerA, workerB)
	}
	w.silent("there were two dispatchers")

	// What is not true does not become so by there being two.
	const absent = "02:00:5e:20:ff:ff"
	s.insert(row{Node: workerA, MAC: absent, Address: "203.0.113.60"})
	moved := s.move(s.rows(workerA)[0], "203.0.113.50")
	s.awaitFlags("1 1 1 1 0")
	s.judge(workerA, moved, s.rows(workerA)[1])
	if len(w.heard(workerA)) == 0 {
		s.t.Error("the control: an address has changed, and nothing is heard of it")
	}
	s.move(moved, s.rows(workerA)[0].Address)
	s.awaitFlags("1 1 1 1 0")
	s.judge(workerA, s.rows(workerA)...)
	s.sql("DELETE FROM multi_interface WHERE mac_address = '" + absent + "'")
	s.scale(1)
	s.works(workerA, workerB)
}

// scale has so many dispatchers, and waits until they are ready, and no others there.
func (s *site) scale(dispatchers int) {
	s.t.Helper()
	_, err := s.client.AppsV1().Deployments(namespace).UpdateScale(s.t.Context(), release+"-dispatcher", &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{Name: release + "-dispatcher", Namespace: namespace}, Spec: autoscalingv1.ScaleSpec{Replicas: int32(dispatchers)},
	}, metav1.UpdateOptions{})
	s.must(err)
	s.until(func() bool {
		ready := 0
		for _, pod := range s.pods("dispatcher") {
			if isReady(&pod) {
				ready++
			}
		}
		return ready == dispatchers && len(s.allPods("dispatcher")) == dispatchers
	}, func() string { return fmt.Sprintf("there are not %d dispatchers", dispatchers) })
}

// dispatchersNodeCutOff takes the dispatcher's node off the wire until the cluster has made another, which serves all nodes that it can
// reach; and then puts it back, with the first one still on it.
func (s *site) dispatchersNodeCutOff() {
	w := s.listen(workerA, workerB)
	lost := s.podOn("dispatcher", keeper)
	s.nodes[keeper].Card.Disconnect()
	s.t.Cleanup(s.nodes[keeper].Card.Reconnect)
	began := time.Now()
	s.rewrite(workerA, workerB)
	// What the flags were when there was no other dispatcher yet.
	alone := ""
	s.until(func() bool {
		flags, there := s.flags(), s.pods("dispatcher")
		if len(there) == 1 && there[0].Name != lost.Name {
			return true
		}
		alone = flags
		return false
	}, func() string { return "the cluster makes no other dispatcher" })
	made := time.Now()
	if alone != "0 0 0 0" {
		s.t.Errorf("nobody served the nodes, and the flags were %s", alone)
	}
	s.awaitAll()
	took := time.Since(made)
	s.t.Logf("the cluster made another dispatcher after %v; %v later all rows were true", made.Sub(began).Round(time.Millisecond), took.Round(time.Millisecond))
	if took > back {
		s.t.Errorf("from the other dispatcher's pod to the last row it took %v, and not %v", took, back)
	}
	// Both are there, now that the first can reach the database again, until its kubelet has heard of it.
	s.nodes[keeper].Card.Reconnect()
	for gone := false; !gone; gone = !s.exists(lost) {
		s.works(workerA, workerB)
	}
	s.cluster.WaitForNodes(keeper)
	s.works(workerA, workerB)
	w.silent("the dispatcher's node was cut off, and came back")
	for _, node := range []string{workerA, workerB} {
		s.judge(node, s.rows(node)...)
	}
}
