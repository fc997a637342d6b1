package loop_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"multinic.dev/lab/giver"
	"multinic.dev/lab/pace"
	"multinic.dev/lab/program"
	"multinic.dev/testbed/node"
)

// BenchmarkExecutor measures one executor: what it takes at rest, what one changed row takes beside ten at once, and what a row
// takes that is already true. Resident memory is in MB of 10^6 bytes; wake-ups are voluntary context switches of all of its
// threads.
func BenchmarkExecutor(b *testing.B) {
	const rounds, rest = 15, 30 * time.Second
	dir := b.TempDir()
	g := giver.Start(b, filepath.Join(dir, "socket"))
	n, wire := node.New(b, "node"), node.NewWire(b, "wire")
	n.Set("net/ipv6/conf/default/disable_ipv6", "1")
	for card := range 10 {
		n.PlugIn(fmt.Sprint("ens", card), mac(1, card), wire)
	}
	executor, err := program.Start("executor", n.Command(context.Background(), programs.Executor, "--identity=insecure", "--dispatcher=unix:"+g.Socket,
		"--node-name=node", "--backend=netlink", "--state-dir="+filepath.Join(dir, "state")))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := executor.Stop(); err != nil {
			b.Error(err)
		}
	})

	rows := pace.NewRows(func(card int) string { return mac(1, card) })
	measure := func(changed int) time.Duration {
		var took []time.Duration
		for range rounds {
			took = append(took, g.Took(b, rows.Change(changed)))
		}

		return pace.Median(took)
	}
	for b.Loop() {
		measure(0)
		unchanged := measure(0)
		one, ten := measure(1), measure(10)
		<-time.After(rest) // What the work has left behind, such as memory to give back, is done with by then.
		before := wakeUps(b, executor.PID())
		<-time.After(rest)
		b.ReportMetric(float64(wakeUps(b, executor.PID())-before)/rest.Seconds(), "wakeups/s-at-rest")
		b.ReportMetric(float64(resident(b, executor.PID()))/1e6, "MB-at-rest")
		b.ReportMetric(unchanged.Seconds()*1000, "ms-unchanged")
		b.ReportMetric(one.Seconds()*1000, "ms-one-row")
		b.ReportMetric(ten.Seconds()*1000, "ms-ten-rows")
		b.ReportMetric(ten.Seconds()/one.Seconds(), "ten-to-one")
		b.ReportMetric(0, "ns/op")
	}
}

// wakeUps is how often a process has slept of its own accord and was woken.
func wakeUps(b *testing.B, pid int) int {
	b.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(tasks) == 0 {
		b.Fatalf("the threads of %d: %v", pid, err)
	}
	total := 0
	for _, task := range tasks {
		total += field(b, task, "voluntary_ctxt_switches:")
	}

	return total
}

// resident is a process's resident memory in bytes.
func resident(b *testing.B, pid int) int {
	b.Helper()

	return field(b, fmt.Sprintf("/proc/%d/status", pid), "VmRSS:") * 1024
}

func field(b *testing.B, path, name string) int {
	b.Helper()
	file, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) > 1 && words[0] == name {
			number, err := strconv.Atoi(words[1])
			if err != nil {
				b.Fatal(err)
			}

			return number
		}
	}
	b.Fatalf("%s lacks %s", path, name)

	return 0
}
