package worker_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"multinic.dev/executor/internal/link"
	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/transaction"
	"multinic.dev/executor/internal/worker"
	"multinic.dev/testbed/node"
	"multinic.dev/testbed/sandbox"
)

func TestMain(m *testing.M) { sandbox.Main(m) }

// openKernel opens the kernel of a node until the test ends.
func openKernel(t *testing.T, n *node.Node) *link.Kernel {
	t.Helper()
	var kernel *link.Kernel
	err := n.Do(func() (err error) {
		kernel, err = link.Open("/")

		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kernel.Close)

	return kernel
}

// TestTheFakeKernelDoesWhatTheRealOneDoes makes the same changes of both, and expects the same to be there after each.
func TestTheFakeKernelDoesWhatTheRealOneDoes(t *testing.T) {
	n := node.New(t, "node")
	n.PlugIn("eth1", macA, nil)
	for name, kernel := range map[string]kernel{"fake": newFakeKernel(macA), "real": openKernel(t, n)} {
		t.Run(name, func(t *testing.T) { contract(t, kernel) })
	}
}

// kernel is all of what a worker and its transactions ask of one.
type kernel interface {
	worker.Kernel
	transaction.Kernel
}

func read(t *testing.T, kernel worker.Kernel) plan.Kernel {
	t.Helper()
	has, err := kernel.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	return has
}

func contract(t *testing.T, kernel kernel) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	woken, ended := make(chan struct{}, 1), make(chan error, 1)
	go func() {
		ended <- kernel.Watch(ctx, func() {
			select {
			case woken <- struct{}{}:
			default:
			}
		})
	}()
	wakes := func(after string) {
		t.Helper()
		select {
		case <-woken:
		case <-time.After(30 * time.Second):
			t.Fatalf("nobody was woken after %s", after)
		}
	}
	wakes("the watch began")

	index := 0
	for _, each := range read(t, kernel).Links {
		if each.MAC == macA {
			index = each.Index
		}
	}
	const own = 0x6d6e0000 + 4096
	address := plan.Address{Prefix: prefix("192.0.2.10/24"), NoPrefixRoute: true, Broadcast: netip.MustParseAddr("192.0.2.255")}
	near := plan.Route{Table: own, To: prefix("192.0.2.0/24"), Source: address.Prefix.Addr(), Link: index, Protocol: plan.Protocol}
	byGateway := near
	byGateway.To, byGateway.Via = prefix("0.0.0.0/0"), netip.MustParseAddr("192.0.2.1")
	byAnother := byGateway
	byAnother.Via = netip.MustParseAddr("192.0.2.2")
	rule := plan.Rule{Preference: 25000, From: prefix("192.0.2.10/32"), Table: own, WithoutDefault: true, Protocol: plan.Protocol}

	settings := "\nset ipv4/conf/%s/arp_announce=2\nset ipv4/conf/%s/arp_ignore=1\nset ipv4/conf/%s/rp_filter=2"
	has := "link multinic1 up true mtu 1400" + settings
	withAddress := "address 192.0.2.10/24 noprefixroute true\n" + has
	const (
		nearText    = "\nroute replace 192.0.2.0/24 dev multinic1 table 1835929600 proto 109 scope link src 192.0.2.10"
		gatewayText = "\nroute replace default via 192.0.2.1 dev multinic1 table 1835929600 proto 109 src 192.0.2.10"
		anotherText = "\nroute replace default via 192.0.2.2 dev multinic1 table 1835929600 proto 109 src 192.0.2.10"
		ruleText    = "\nrule add pref 25000 from 192.0.2.10 lookup 1835929600 suppress_prefixlength 0 proto 109"
	)
	sortedWithRoutes := func(gateway string) string {
		return strings.Replace(withAddress, "\nset", nearText+gateway+ruleText+"\nset", 1)
	}
	for _, step := range []struct {
		change plan.Change
		want   string // empty: not compared
		fails  bool
	}{
		{change: plan.SetUp{Link: index + 1000, Name: "none"}, fails: true},
		{change: plan.AddRoute{Route: near}, fails: true}, // Its source is nobody's address yet.
		{change: plan.Rename{Link: index, From: "eth1", To: "multinic1"}},
		{change: plan.Set{Path: "ipv4/conf/multinic1/arp_ignore", Value: "1"}},
		{change: plan.Set{Path: "ipv4/conf/multinic1/arp_announce", Value: "2"}},
		{change: plan.Set{Path: "ipv4/conf/multinic1/rp_filter", Value: "2"}},
		{change: plan.SetMTU{Link: index, Name: "multinic1", MTU: 1400}, want: strings.Replace(has, "true", "false", 1)},
		{change: plan.SetUp{Link: index, Name: "multinic1"}, want: has},
		{change: plan.AddAddress{Link: index, Name: "multinic1", Address: address}, want: withAddress},
		{change: plan.AddAddress{Link: index, Name: "multinic1", Address: address}, want: withAddress},
		{change: plan.AddRoute{Route: near, Name: "multinic1"}},
		{change: plan.AddRoute{Route: near, Name: "multinic1"}},
		{change: plan.AddRoute{Route: byGateway, Name: "multinic1"}},
		{change: plan.AddRule{Rule: rule}, want: sortedWithRoutes(gatewayText)},
		{change: plan.AddRule{Rule: rule}, want: sortedWithRoutes(gatewayText)},
		{change: plan.AddRoute{Route: byAnother, Name: "multinic1"}, want: sortedWithRoutes(anotherText)},
		{change: plan.RemoveRoute{Route: byAnother, Name: "multinic1"}, want: sortedWithRoutes("")},
		{change: plan.RemoveRoute{Route: byAnother, Name: "multinic1"}, want: sortedWithRoutes("")},
		{change: plan.RemoveRule{Rule: rule}},
		{change: plan.RemoveRule{Rule: rule}},
		{change: plan.RemoveAddress{Link: index, Name: "multinic1", Address: address}, want: has}, // Its routes go with it.
		{change: plan.RemoveAddress{Link: index, Name: "multinic1", Address: address}, want: has},
		{change: plan.SetDown{Link: index, Name: "multinic1"}, want: strings.Replace(has, "true", "false", 1)},
		{change: plan.SetDown{Link: index, Name: "multinic1"}, want: strings.Replace(has, "true", "false", 1)},
		{change: plan.Rename{Link: index, From: "multinic1", To: "eth1"}, want: "link eth1 up false mtu 1400"},
	} {
		err := kernel.Apply(step.change)
		if (err != nil) != step.fails {
			t.Errorf("%s: error %v", step.change, err)
		}
		if err != nil && !strings.HasPrefix(err.Error(), step.change.String()+": ") {
			t.Errorf("the error does not say what was attempted: %v", err)
		}
		if got := describe(read(t, kernel)); step.want != "" && got != step.want {
			t.Errorf("after %s there is\n%s\nwant\n%s", step.change, got, step.want)
		}
	}
	settings1, err := kernel.Settings("eth1")
	if err != nil || settings1["ipv4/conf/%s/arp_announce"] != "2" {
		t.Errorf("the settings of a link that is not named as ours: %v, %v", settings1, err)
	}
	wakes("many changes")
	stop()
	if err := <-ended; err != nil {
		t.Errorf("the watch ended with %v", err)
	}
}
