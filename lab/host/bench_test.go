package host_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"multinic.dev/lab/giver"
	"multinic.dev/lab/program"
	multinicv1 "multinic.dev/proto/multinic/v1"
	"multinic.dev/testbed/container"
	"multinic.dev/testbed/debian"
	"multinic.dev/testbed/monitor"
	"multinic.dev/testbed/node"
)

// counting is a generator that writes down that it was called.
const counting = `#!/bin/sh
echo >>/root/calls
exec /root/generate "$@"
`

// BenchmarkHost measures an executor on a host of each release, by each activation, from a WorkSet received to the report that proves it: one changed row
// and ten of ten, beside one plain `netplan apply` of one changed address on the same host in the same run. A third of a second of the
// executor's time is the question whether the address is in use, which Netplan does not ask. Then rows that are true already: what
// they take, how many netlink events of the whole host they make, and how often Netplan is called.
func BenchmarkHost(b *testing.B) {
	for _, release := range both() {
		b.Run(string(release)+" by kernel", func(b *testing.B) { benchmarkHost(b, release, false) })
		b.Run(string(release)+" by networkd", func(b *testing.B) { benchmarkHost(b, release, true) })
	}
}

func benchmarkHost(b *testing.B, release debian.Release, byManager bool) {
	b.Helper()
	const rounds = 9
	host, wire := container.New(b, release, nodeName), node.NewWire(b, "wire")
	host.PlugIn("eth0", own, node.NewWire(b, "underlay"))
	host.PlugIn("other0", mac(99), wire)
	host.Write("/etc/netplan/50-cloud-init.yaml", 0o600, netplanOf("eth0", "192.0.2.5/24"))
	host.Write("/etc/netplan/60-other.yaml", 0o600, netplanOf("other0", "10.9.0.10/24"))
	for card := range 10 {
		host.PlugIn(fmt.Sprint("multinic", card), mac(card), wire)
	}
	if byManager {
		letNetworkdBeTold(host)
	}
	host.Boot()
	host.Configured("eth0", "other0")
	g := giver.Start(b, filepath.Join(b.TempDir(), "socket"))
	executor, err := program.Start("executor", host.Command(context.Background(), programs.Executor, "--identity=insecure", "--dispatcher=unix:"+g.Socket,
		"--node-name="+nodeName, "--host-root="+host.Live(), "--state-dir="+host.Path("/var/lib/multinic")))
	if err != nil {
		b.Fatal(err)
	}
	median := func(measure func(round int) time.Duration) float64 {
		var all []time.Duration
		for round := range rounds {
			all = append(all, measure(round))
		}
		slices.Sort(all)

		return all[rounds/2].Seconds() * 1000
	}
	rows := func(changed int) func(round int) time.Duration {
		return func(round int) time.Duration { return g.Took(b, items(changed, round)) }
	}
	for b.Loop() {
		rows(0)(0)
		one, ten := median(rows(1)), median(rows(10))
		rows(0)(0)
		program := generatorOf(host)
		host.MustRun("mv", program, "/root/generate")
		host.Write(program, 0o755, counting)
		m := monitor.Start(b, host.Node)
		unchanged := median(rows(0))
		events := len(m.Mark(b))
		calls, _ := os.ReadFile(host.Path("/root/calls")) // It is not there without any.
		host.MustRun("mv", "/root/generate", program)
		if err := executor.Stop(); err != nil {
			b.Fatal(err)
		}
		plain := median(func(round int) time.Duration {
			host.Write("/etc/netplan/60-other.yaml", 0o600, netplanOf("other0", fmt.Sprintf("10.9.0.%d/24", 11+round)))
			began := time.Now()
			host.MustRun("netplan", "apply")

			return time.Since(began)
		})
		b.ReportMetric(one, "ms-one-row")
		b.ReportMetric(plain, "ms-netplan-apply")
		b.ReportMetric(one/plain, "one-to-netplan-apply")
		b.ReportMetric(ten/one, "ten-to-one")
		b.ReportMetric(unchanged, "ms-unchanged")
		b.ReportMetric(float64(events), "events-unchanged")
		b.ReportMetric(float64(strings.Count(string(calls), "\n")), "netplan-calls-unchanged")
		b.ReportMetric(0, "ns/op")
	}
}

// netplanOf is a file of the host's own that gives a card an address.
func netplanOf(card, address string) string {
	return fmt.Sprintf("network: {version: 2, ethernets: {%s: {addresses: [%s], accept-ra: false, link-local: []}}}\n", card, address)
}

// items are ten rows, of which some differ from round to round.
func items(changed, round int) []*multinicv1.WorkItem {
	var all []*multinicv1.WorkItem
	for card := range 10 {
		last := 10 + card
		if card < changed {
			last = 30 + 20*(round%10) + card
		}
		address := fmt.Sprintf("10.1.0.%d/24", last)
		all = append(all, &multinicv1.WorkItem{
			Key: &multinicv1.Key{MacAddress: mac(card)}, Revision: address, Spec: &multinicv1.InterfaceSpec{Address: address},
		})
	}

	return all
}
