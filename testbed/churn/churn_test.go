package churn_test

import (
	"strings"
	"testing"
	"time"

	"multinic.dev/testbed/churn"
	"multinic.dev/testbed/monitor"
	"multinic.dev/testbed/node"
	"multinic.dev/testbed/snapshot"
	"multinic.dev/testbed/uml"
)

func TestMain(m *testing.M) { uml.Main(m) }

func aNode(t *testing.T) *node.Node {
	t.Helper()
	n := node.New(t, "node")
	n.Underlay("eth0", "02:00:00:00:00:10", "192.0.2.10/24", "192.0.2.1", 100, nil)
	n.PlugIn("eth1", "02:00:00:00:00:11", nil)
	return n
}

func take(t *testing.T, n *node.Node) snapshot.Snapshot {
	t.Helper()
	s, err := snapshot.Take(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestEverythingIsChurnedAndTheNodeIsThenAsBefore(t *testing.T) {
	n := aNode(t)
	before := take(t, n)
	m := monitor.Start(t, n)
	c := churn.Start(t, n, churn.Options{Seed: 1, Link: "eth0", Every: 5 * time.Millisecond})
	c.AwaitSteps(t, 300)
	if got := snapshot.Differences(before, take(t, n)); len(got) < 20 {
		t.Errorf("in the midst of it, there are only these differences: %q", got)
	}
	if err := c.End(); err != nil {
		t.Fatal(err)
	}
	if got := snapshot.Differences(before, take(t, n)); len(got) != 0 {
		t.Errorf("differences in the end:\n%s", strings.Join(got, "\n"))
	}
	kinds := map[string]int{}
	for _, event := range m.Mark(t) {
		kinds[event.Kind]++
		if event.Link == "eth1" {
			t.Errorf("the churn has touched a link that is not its own: %s", event)
		}
	}
	for _, kind := range []string{"link new", "link gone", "address new", "address gone", "route new", "route gone", "rule new", "rule gone"} {
		if kinds[kind] < 10 {
			t.Errorf("there are %d events of the kind %q", kinds[kind], kind)
		}
	}
	if c.Steps() < 300 {
		t.Errorf("%d steps", c.Steps())
	}
}

func TestWhoeverTouchesWhatIsTheChurnsIsReported(t *testing.T) {
	for _, test := range []struct {
		name    string
		command func(n *node.Node)
		said    string
	}{
		{"nobody", func(*node.Node) {}, ""},
		{"routes flushed", tell("route flush table main protocol 80"), "the route to 10.96.0."},
		{"IPv6 routes flushed", tell("-6 route flush protocol 80"), "the route to 2001:db8:c:"},
		{"a rule gone", tell("rule delete pref 512"), "the rule 512 from"},
		{"virtual addresses gone", tell("address flush dev kube-ipvs0"), "the address 10.98.0."},
		{"neighbours gone", tell("neighbour flush dev churn-cni0 nud permanent"), "the neighbour 10.99.0."},
		{"a link of its own changed", tell("link set kube-ipvs0 mtu 1400"), "the link kube-ipvs0 was changed by somebody else"},
		{"a link of its own renamed", tell("link set kube-ipvs0 name other"), "the link kube-ipvs0 was taken away by somebody else"},
		{"a pod unplugged from the bridge", func(n *node.Node) {
			for line := range strings.Lines(n.IP("-o", "link", "show", "master", "churn-cni0")) {
				name, _, _ := strings.Cut(strings.Fields(line)[1], "@")
				tell("link set " + name + " nomaster")(n)
			}
		}, "master 0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := aNode(t)
			failing := &errorsOf{T: t}
			c := churn.Start(failing, n, churn.Options{Seed: 2, Link: "eth0", Every: time.Millisecond})
			// At a given moment there may be nothing of the kind, so it is done until it was found.
			for range 30 {
				c.AwaitSteps(t, 20)
				test.command(n)
				if c.Err() != nil {
					break
				}
			}
			err := c.End()
			if (err != nil) != (test.said != "") || err != nil && !strings.Contains(err.Error(), test.said) {
				t.Errorf("error %v, want %q", err, test.said)
			}
		})
	}
}

// errorsOf is a test that does not fail when the churn says what it should.
type errorsOf struct{ *testing.T }

func (e *errorsOf) Fatalf(format string, args ...any) { e.Helper(); e.Logf(format, args...) }

// tell gives a command to `ip`, which fails when there is nothing to do it to.
func tell(command string) func(*node.Node) {
	return func(n *node.Node) { _, _ = n.TryIP(strings.Fields(command)...) }
}

func TestTheSameSeedMakesTheSameSteps(t *testing.T) {
	// The number of things is decided by chance and by nothing else, so it is the same after the same steps.
	var texts [2]string
	for i := range texts {
		t.Run("", func(t *testing.T) {
			n := aNode(t)
			m := monitor.Start(t, n)
			c := churn.Start(t, n, churn.Options{Seed: 3, Every: time.Millisecond})
			c.AwaitSteps(t, 100)
			if err := c.End(); err != nil {
				t.Fatal(err)
			}
			var text []string
			for _, event := range m.Mark(t) {
				if event.Kind == "rule new" {
					text = append(text, event.String())
				}
			}
			texts[i] = strings.Join(text[:min(len(text), 10)], "\n")
		})
	}
	if texts[0] == "" || texts[0] != texts[1] {
		t.Errorf("the first rules:\n%s\nand:\n%s", texts[0], texts[1])
	}
}

func TestItChurnsUnderTheOtherKernelToo(t *testing.T) {
	uml.Run(t, func() {
		n := aNode(t)
		before := take(t, n)
		c := churn.Start(t, n, churn.Options{Seed: 4, Link: "eth0"})
		c.AwaitSteps(t, 100)
		if err := c.End(); err != nil {
			t.Fatal(err)
		}
		if got := snapshot.Differences(before, take(t, n)); len(got) != 0 {
			t.Errorf("differences in the end:\n%s", strings.Join(got, "\n"))
		}
	})
}
