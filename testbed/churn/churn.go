// Package churn does to a node, all the time, what others do to real ones: pods, their routes, rules, virtual addresses
// and neighbours come and go, so that a test can prove that this matters to nobody, and that nobody touches it.
package churn

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"multinic.dev/testbed/node"
)

const (
	// defaultEvery is lively for a node, and little work for a machine.
	defaultEvery = 20 * time.Millisecond
	// most is how many things there are at once.
	most = 40
	// tooMany is how many errors are enough.
	tooMany = 20
)

// Options say how a node is to be churned.
type Options struct {
	// Seed decides what comes and goes, in which order. Start logs it.
	Seed uint64
	// Link is a link of the node's own that virtual addresses come and go on, such as its underlay; empty: none does.
	// It must stay there and up, with an address that stays: with its last IPv4 address, a link loses its routes.
	Link string
	// Every is the time from step to step; 0: 20 ms.
	Every time.Duration
}

// Churn makes steps until it is ended. A step makes one thing or takes one away. Its methods are safe for concurrent use.
type Churn struct {
	node *node.Node
	stop chan struct{}
	// ended is closed when all has been taken away.
	ended   chan struct{}
	endOnce sync.Once

	mu    sync.Mutex // guards what follows
	steps int
	wrong []error
	moved chan struct{} // closed, and made anew, with each step
}

// Start begins to churn a node. It goes on until End is called or the test ends, which it fails then if anything of
// the churn's own was touched.
func Start(t node.TB, n *node.Node, o Options) *Churn {
	t.Helper()
	t.Logf("the churn of %s has the seed %d", n.Name(), o.Seed)
	if o.Every == 0 {
		o.Every = defaultEvery
	}
	// What pods have inside does not matter to the node: one namespace has all their ends.
	pods := node.New(t, n.Name()+"-churn")
	s, err := newStage(n, pods, o.Link)
	if err != nil {
		t.Fatalf("churn %s: %v", n.Name(), err)
	}
	c := &Churn{node: n, stop: make(chan struct{}), ended: make(chan struct{}), moved: make(chan struct{})}
	go func() {
		defer close(c.ended)
		c.run(s, rand.New(rand.NewPCG(o.Seed, 0)), o.Every)
		c.found(s.close())
	}()
	t.Cleanup(func() {
		if err := c.End(); err != nil {
			t.Fatalf("%v", err)
		}
	})
	return c
}

// Steps is how many steps have been made.
func (c *Churn) Steps() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.steps
}

// AwaitSteps waits until so many more steps have been made. The test ends if the churn ends before.
func (c *Churn) AwaitSteps(t node.TB, more int) {
	t.Helper()
	goal := c.Steps() + more
	for {
		c.mu.Lock()
		steps, moved := c.steps, c.moved
		c.mu.Unlock()
		if steps >= goal {
			return
		}
		select {
		case <-moved:
		case <-c.ended:
			t.Fatalf("the churn has ended after %d steps: %v", steps, c.Err())
		}
	}
}

// End takes away all that is still there, and returns what Err then does. The node is as it was before. A second call
// returns the same.
func (c *Churn) End() error {
	c.endOnce.Do(func() { close(c.stop) })
	<-c.ended
	return c.Err()
}

// Err is what somebody else has done to what is the churn's, as far as it has been found: nothing of it may be changed
// or taken away by anybody. A thing is looked at when its time has come to be taken away.
func (c *Churn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := errors.Join(c.wrong...); err != nil {
		return fmt.Errorf("the churn of %s: %w", c.node.Name(), err)
	}
	return nil
}

// run makes steps until it is to stop, or too much has gone wrong, and takes all away again.
func (c *Churn) run(s *stage, random *rand.Rand, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	var there []*thing
	number, wrong := 0, 0
	for stopping := false; !stopping && wrong < tooMany; {
		select {
		case <-c.stop:
			stopping = true
			continue
		case <-ticker.C:
		}
		var err error
		// The fewer there are, the likelier it is that there will be more.
		if random.IntN(most) >= len(there) {
			number++
			next := s.invent(random, number)
			if err = next.make(); err == nil {
				there = append(there, next)
			}
		} else {
			i := random.IntN(len(there))
			err = there[i].unmake()
			there[i] = there[len(there)-1]
			there = there[:len(there)-1]
		}
		if err != nil {
			wrong++
		}
		c.stepped(err)
	}
	for _, last := range there {
		c.stepped(last.unmake())
	}
}

// found keeps an error, if it is one.
func (c *Churn) found(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.wrong = append(c.wrong, err)
	}
}

// stepped counts a step, and keeps its error if it has one.
func (c *Churn) stepped(err error) {
	c.found(err)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.steps++
	close(c.moved)
	c.moved = make(chan struct{})
}

// stage is what all things stand on: sockets into the node and into the pods' namespace, and links of the churn's own.
// It belongs to one goroutine.
type stage struct {
	node, pods *netlink.Handle
	podsNS     netns.NsHandle
	// bridge is one as pods are plugged into; virtual is a link that is never up, as kube-ipvs0. These are there from the
	// beginning to the end.
	bridge, virtual *thing
	bridgeLink      netlink.Link
	// bridgeAddress keeps the bridge from losing its routes and neighbours with its last virtual address, as the kernel has
	// it: it is a pod network's gateway.
	bridgeAddress *thing
	// virtuals are the links that virtual addresses come and go on.
	virtuals []netlink.Link
}

// Names of links of the churn's own. Pods' are podPrefix and a number.
const (
	bridgeName  = "churn-cni0"
	virtualName = "kube-ipvs0"
	podPrefix   = "churn"
)

func newStage(n, pods *node.Node, link string) (*stage, error) {
	s := &stage{podsNS: netns.None()}
	err := n.Do(func() (err error) {
		s.node, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	})
	if err == nil {
		err = pods.Do(func() (err error) {
			s.pods, err = netlink.NewHandle(unix.NETLINK_ROUTE)
			return err
		})
	}
	if err == nil {
		s.podsNS, err = netns.GetFromName(pods.Name())
	}
	if err == nil {
		err = s.build(link)
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// build makes what is there from the beginning to the end.
func (s *stage) build(link string) error {
	attributes := func(name, mac string) netlink.LinkAttrs {
		a := netlink.NewLinkAttrs()
		a.Name, a.HardwareAddr = name, hardware(mac)
		return a
	}
	// Without an address of its own it would take one of its pods'.
	bridge := s.link(&netlink.Bridge{LinkAttrs: attributes(bridgeName, "02:00:5e:0c:00:01")}, true)
	if err := bridge.make(); err != nil {
		return err
	}
	s.bridge = bridge
	virtual := s.link(&netlink.Dummy{LinkAttrs: attributes(virtualName, "02:00:5e:0c:00:02")}, false)
	err := virtual.make()
	if errors.Is(err, unix.EOPNOTSUPP) {
		virtual = s.link(&netlink.Bridge{LinkAttrs: attributes(virtualName, "02:00:5e:0c:00:02")}, false)
		err = virtual.make()
	}
	if err != nil {
		return err
	}
	s.virtual = virtual
	for _, name := range []string{bridgeName, virtualName, link} {
		if name == "" {
			continue
		}
		l, err := s.node.LinkByName(name)
		if err != nil {
			return fmt.Errorf("find the link %s: %w", name, err)
		}
		s.virtuals = append(s.virtuals, l)
	}
	s.bridgeLink = s.virtuals[0]
	gateway := s.address(s.bridgeLink, &netlink.Addr{IPNet: network(net.IPv4(10, 245, 0, 1), 24)})
	if err := gateway.make(); err != nil {
		return err
	}
	s.bridgeAddress = gateway
	return nil
}

// close takes the stage away.
func (s *stage) close() error {
	var wrong []error
	for _, t := range []*thing{s.bridgeAddress, s.virtual, s.bridge} {
		if t != nil {
			wrong = append(wrong, t.unmake())
		}
	}
	for _, handle := range []*netlink.Handle{s.node, s.pods} {
		if handle != nil {
			handle.Close()
		}
	}
	if s.podsNS.IsOpen() {
		wrong = append(wrong, s.podsNS.Close())
	}
	return errors.Join(wrong...)
}
