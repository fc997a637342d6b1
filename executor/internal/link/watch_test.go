package link_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"multinic.dev/executor/internal/link"
	"multinic.dev/testbed/node"
)

// patience is how long an event may take. It takes well under a millisecond.
const patience = 30 * time.Second

// watcher counts how often it is woken.
type watcher struct {
	count atomic.Int64
	woken chan struct{}
}

func watch(t *testing.T, k *link.Kernel) *watcher {
	t.Helper()
	w := &watcher{woken: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- k.Watch(ctx, func() {
			w.count.Add(1)
			select {
			case w.woken <- struct{}{}:
			default:
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the watch ended with %v", err)
		}
	})
	w.await(t, 1)
	return w
}

// await waits until the watcher was woken so often.
func (w *watcher) await(t *testing.T, count int64) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for w.count.Load() < count {
		select {
		case <-w.woken:
		case <-deadline.C:
			t.Fatalf("woken %d times, not %d", w.count.Load(), count)
		}
	}
}

// wakes does something between two events that wake once each, and returns how often it woke by itself. It waits for as many
// wakes as there must be at least.
func (w *watcher) wakes(t *testing.T, n *node.Node, commands string, atLeast int64) int64 {
	t.Helper()
	before := w.count.Load()
	n.IP("rule", "add", "pref", "77", "lookup", "main", "protocol", "109")
	w.await(t, before+1)
	for command := range strings.SplitSeq(commands, ";") {
		n.IP(strings.Fields(command)...)
	}
	w.await(t, before+1+atLeast)
	during := w.count.Load()
	n.IP("rule", "delete", "pref", "77")
	w.await(t, max(before+2, during+1))
	return w.count.Load() - before - 2
}

func TestWhatAPlanDependsOnWakes(t *testing.T) {
	n := node.New(t, "node")
	w := node.NewWire(t, "wire")
	n.Underlay("eth0", "02:00:00:00:00:10", "192.0.2.5/24", "192.0.2.1", 100, w)
	n.PlugIn("multinic0", mac0, w)
	n.AddPod("pod", "10.244.0.5/32")
	n.IP("link", "set", "multinic0", "up")
	watcher := watch(t, open(t, n))
	for _, commands := range []string{
		"link add eth5 type veth peer name eth6",
		"link set eth5 name eth7",
		"link set eth7 address 02:00:00:00:00:77",
		"link set eth7 up",
		"link set eth7 mtu 1400",
		"link add br0 type bridge",
		"link set eth7 master br0",
		"link delete eth7",
		"address add 192.0.2.6/24 dev eth0",
		"address change 192.0.2.6/24 dev eth0 noprefixroute;address delete 192.0.2.6/24 dev eth0",
		"address add 2001:db8::1/64 dev eth0",
		"address add 192.0.2.10/24 dev multinic0 noprefixroute",
		"route add 203.0.113.0/24 dev multinic0",
		"route delete 203.0.113.0/24 dev multinic0",
		"route add 203.0.113.0/24 dev eth0 protocol 109",
		"route add 203.0.113.0/24 dev eth0 table 1835925504",
		"route delete default",
		"route add default via 192.0.2.1 dev eth0",
		"rule add pref 100 lookup 1835925504",
		"rule add pref 25001 from 192.0.2.10 lookup main",
		"rule delete pref 25001",
	} {
		if watcher.wakes(t, n, commands, 1) == 0 {
			t.Errorf("nobody was woken by %s", commands)
		}
	}
	before := watcher.count.Load()
	n.Set("net/ipv4/conf/multinic0/rp_filter", "2")
	watcher.await(t, before+1)
}

func TestWhatNoPlanDependsOnLetsSleep(t *testing.T) {
	n := node.New(t, "node")
	w := node.NewWire(t, "wire")
	n.Underlay("eth0", "02:00:00:00:00:10", "192.0.2.5/24", "192.0.2.1", 100, w)
	n.PlugIn("multinic0", mac0, w)
	n.AddPod("pod", "10.244.0.5/32")
	watcher := watch(t, open(t, n))
	for _, commands := range []string{
		"route add 10.244.0.6 dev pod-pod",
		"route delete 10.244.0.6",
		"route add 10.244.0.0/24 via 192.0.2.1 dev eth0",
		"route add default dev eth0 table 77",
		"rule add pref 78 from 10.244.0.5 lookup 77",
		"link set multinic0 alias somebody",
		"link set eth0 txqueuelen 77",
		"address change 192.0.2.5/24 dev eth0 noprefixroute valid_lft 1000 preferred_lft 1000",
		"address add fe80::77/64 dev eth0",
		"neighbour add 192.0.2.77 lladdr 02:00:00:00:00:77 dev eth0",
		"route add 192.0.2.99 dev eth0 table local",
	} {
		if got := watcher.wakes(t, n, commands, 0); got != 0 {
			t.Errorf("woken %d times by %s", got, commands)
		}
	}
}

func TestAWatchThatIsNotWantedAnyMoreEnds(t *testing.T) {
	k := open(t, node.New(t, "node"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := k.Watch(ctx, func() {}); err != nil {
		t.Errorf("error %v", err)
	}
}
