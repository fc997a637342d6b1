package install_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// joining is a node that joins when the installation is there already.
const joining = "node-d"

// upgradedAndRolledBack has both tiers replaced by another version, and back.
func (s *site) upgradedAndRolledBack() {
	w := s.listen(keeper, workerA, workerB)
	s.tag = second
	s.helm(append([]string{"upgrade", release, chart, "--wait", "--timeout=4m"}, s.values()...)...)
	s.versions(second)
	s.works(workerA, workerB)
	w.silent("both tiers were upgraded")
	s.helm("rollback", release, "--wait", "--timeout=4m")
	s.versions(first)
	s.works(workerA, workerB)
	w.silent("both tiers were rolled back")
}

// versions has every pod of the installation be of a version.
func (s *site) versions(tag string) {
	s.t.Helper()
	for tier := range tiers() {
		pods := s.pods(tier)
		if len(pods) == 0 {
			s.t.Errorf("there is no %s", tier)
		}
		for _, pod := range pods {
			if image := pod.Spec.Containers[0].Image; image != registry+"/multinic-"+tier+":"+tag {
				s.t.Errorf("%s is of %s, and not of version %s", pod.Name, image, tag)
			}
		}
	}
}

// dispatchersNodeDrained does what `kubectl drain` does to the dispatcher's node: executors stay, as those of any DaemonSet do.
func (s *site) dispatchersNodeDrained() {
	w := s.listen(keeper, workerA, workerB)
	drained := s.pods("dispatcher")[0]
	s.cordon(drained.Spec.NodeName, true)
	s.evict(drained, nil)
	s.until(func() bool { return len(s.pods("dispatcher")) == 1 && s.pods("dispatcher")[0].Spec.NodeName != "" },
		func() string { return "the cluster makes no other dispatcher" })
	made := time.Now()
	if node := s.pods("dispatcher")[0].Spec.NodeName; node == drained.Spec.NodeName {
		s.t.Errorf("the dispatcher is on %s again, which was drained", node)
	}
	s.works(workerA, workerB)
	if took := time.Since(made); took > back {
		s.t.Errorf("from the other dispatcher's pod to the last row it took %v, and not %v", took, back)
	}
	s.cordon(drained.Spec.NodeName, false)
	w.silent("the dispatcher's node was drained")
}

// nodeRestarted cuts a node's power and gives it back. Nothing but the executor configures its cards: they have no Netplan.
func (s *site) nodeRestarted() {
	w := s.listen(keeper, workerA)
	s.nodes[workerB].Restart()
	if s.wrong(workerB, s.rows(workerB)...) == "" {
		s.t.Error("the control: the node's cards are configured before anything has run on it")
	}
	began := time.Now()
	wrong := ""
	s.until(func() bool { wrong = s.wrong(workerB, s.rows(workerB)...); return wrong == "" },
		func() string { return "after its restart, in the kernel of " + workerB + ":\n" + wrong })
	s.t.Logf("the cards were configured %v after the node had started", time.Since(began).Round(time.Millisecond))
	s.cluster.WaitForNodes(workerB)
	s.works(workerA, workerB)
	s.judge(workerB, s.rows(workerB)...)
	w.silent("another node was restarted")
}

// nodeAdded joins a node to the cluster: it is served without anybody doing anything for it.
func (s *site) nodeAdded() {
	w := s.listen(keeper, workerA, workerB)
	s.insert(s.rows(joining)...)
	s.addNode(joining)
	s.awaitAll()
	s.judge(joining, s.rows(joining)...)
	w.silent("a node was added")
}

// executorEndedInTheMiddleOfAnApply evicts an executor that is changing a card, and that has no time to undo it: it is stopped when its
// journal is there, and killed.
func (s *site) executorEndedInTheMiddleOfAnApply() {
	w := s.listen(keeper, workerB)
	node, home := s.nodes[workerA], s.rows(workerA)
	journal := node.Outside("/var/lib/multinic/journal.json")
	under := func() bool {
		text, err := os.ReadFile(journal)
		return err == nil && bytes.Contains(text, []byte(home[0].MAC))
	}
	for attempt := range 10 {
		executor, process := s.podOn("executor", workerA), s.executorOn(workerA)
		moved := s.move(home[0], fmt.Sprintf("203.0.113.%d", 40+attempt))
		for deadline := time.Now().Add(patience); !under() && strings.Contains(s.flags(), "0"); {
			if time.Now().After(deadline) {
				s.t.Fatalf("the row is never worked on: %s", s.state())
			}
		}
		node.MustRun("kill", "-STOP", process)
		if !under() {
			// It was quicker, and is asked for the next change.
			node.MustRun("kill", "-CONT", process)
			s.awaitAll()
			continue
		}
		if flags := s.flags(); !strings.Contains(flags, "0") {
			s.t.Errorf("the change is under way, and the flags are %s", flags)
		}
		s.t.Logf("the executor is killed in attempt %d, when in the kernel there is, of what was asked for:\n%s", attempt+1, s.wrong(workerA, moved, home[1]))
		grace := int64(1)
		s.evict(executor, &grace)
		s.until(func() bool { return !s.exists(executor) }, func() string { return "the executor does not go" })
		s.awaitAll()
		s.judge(workerA, moved, home[1])
		s.move(moved, home[0].Address)
		s.awaitAll()
		s.judge(workerA, home...)
		w.silent("the executor of another node was ended")
		return
	}
	s.t.Error("no executor was met in the middle of an apply")
}

// executorOn is the executor's process on a node, by its number there.
func (s *site) executorOn(node string) string {
	s.t.Helper()
	processes, err := filepath.Glob(s.nodes[node].Outside("/proc/[0-9]*"))
	s.must(err)
	for _, process := range processes {
		if line, err := os.ReadFile(filepath.Join(process, "cmdline")); err == nil && bytes.HasPrefix(line, []byte("/multinic-executor\x00")) {
			return filepath.Base(process)
		}
	}
	s.t.Fatalf("no executor runs on %s: %s", node, s.state())
	return ""
}

// uninstalled takes the installation away, which leaves the cards as they are; and then them, as docs/install.md says.
func (s *site) uninstalled() {
	w := s.listen(slices.Collect(maps.Keys(s.nodes))...)
	s.helm("uninstall", release, "--wait", "--timeout=3m")
	s.until(func() bool { return len(s.allPods("dispatcher"))+len(s.allPods("executor")) == 0 }, func() string { return "pods of it are there" })
	w.silent("it was uninstalled")
	program, err := os.ReadFile(filepath.Join(os.Getenv(archivesEnv), "multinic-executor"))
	s.must(err)
	for node := range s.nodes {
		if node == keeper {
			continue // No row was for it.
		}
		s.judge(node, s.rows(node)...)
		const path = "/opt/multinic-executor"
		s.must(os.WriteFile(s.nodes[node].Outside(path), program, 0o700))
		s.t.Logf("on %s: %s", node, s.nodes[node].MustRun(path, "cleanup", "--backend=netlink"))
		s.judge(node)
	}
}

// cordon says whether a node takes pods no more.
func (s *site) cordon(node string, unschedulable bool) {
	s.t.Helper()
	patch := fmt.Sprintf(`{"spec":{"unschedulable":%t}}`, unschedulable)
	_, err := s.client.CoreV1().Nodes().Patch(s.t.Context(), node, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	s.must(err)
}
