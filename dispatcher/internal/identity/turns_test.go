package identity_test

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	authenticationv1 "k8s.io/api/authentication/v1"

	"multinic.dev/dispatcher/internal/identity"
	"multinic.dev/testbed/authority"
)

// crowd calls a dispatcher from many addresses, in a bubble of its own time. Its API server answers at once, or, once it is slow, not before the
// test ends.
type crowd struct {
	t    *testing.T
	who  *identity.Kubernetes
	sign *apiServer
	end  chan struct{}

	mu    sync.Mutex // guards the others
	slow  bool
	asked int
}

func (c *crowd) Token(ctx context.Context, _, _ string) (authenticationv1.TokenReviewStatus, error) {
	c.mu.Lock()
	c.asked++
	slow := c.slow
	c.mu.Unlock()
	if !slow {
		return good(ctx)
	}
	select {
	case <-c.end:
		return good(ctx)
	case <-ctx.Done():
		return authenticationv1.TokenReviewStatus{}, ctx.Err()
	}
}

func (*crowd) Access(context.Context, authenticationv1.UserInfo, string) (bool, error) {
	return false, errors.New("nobody asks for this")
}

// gather runs a test with a crowd, of which the executor of the pod pod-a was let in before the API server became slow.
func gather(t *testing.T, test func(c *crowd)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		own := authority.New(t, "servers").Issue(authority.Leaf{CommonName: "dispatcher", Hosts: []string{"127.0.0.1"}})
		c := &crowd{t: t, sign: &apiServer{key: []byte("k")}, end: make(chan struct{})}
		var err error
		c.who, err = identity.NewKubernetes(identity.KubernetesSettings{
			Certificate: write(t, own.Certificate), Key: write(t, own.Key), Audience: ours, Executors: "system/executor",
		}, c, zap.NewNop())
		must(t, err)
		allowed(t, "the executor", c.call(t.Context(), "192.0.2.1", "system/pod-a"))
		c.slow = true
		test(c)
		close(c.end)
		synctest.Wait()
	})
}

// call calls with a new token of a pod from an address.
func (c *crowd) call(ctx context.Context, address, pod string) error {
	ctx = peer.NewContext(ctx, &peer.Peer{Addr: &net.TCPAddr{IP: net.ParseIP(address), Port: 1}})
	ctx = metadata.NewIncomingContext(ctx, metadata.Pairs("authorization", "Bearer "+c.sign.sign(executor, pod, time.Hour, ours)))
	_, err := c.who.Authorize(ctx, "/multinic.v1.DispatchService/Session")

	return err
}

// waits says whether a call waits for the API server. One that does goes on waiting.
func (c *crowd) waits(address, pod string) bool {
	c.t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- c.call(c.t.Context(), address, pod) }()
	synctest.Wait()
	select {
	case err := <-ended:
		var refusal *identity.RefusedError
		if err == nil || errors.As(err, &refusal) {
			c.t.Errorf("a call from %s ended with %v", address, err)
		}

		return false
	default:
		return true
	}
}

// fill has calls of made-up pods wait, as many as may from an address, and says how many those are.
func (c *crowd) fill(address string) int {
	for n := 0; ; n++ {
		if !c.waits(address, "system/made-up-"+strconv.Itoa(n)) {
			return n
		}
	}
}

func TestStrangersWaitInBoundedNumbersAndNoKnownOneBehindThem(t *testing.T) {
	gather(t, func(c *crowd) {
		for _, address := range []string{"192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:0:1::1"} {
			if n := c.fill(address); n != 64 {
				t.Errorf("from %s %d wait", address, n)
			}
		}
		if c.waits("2001:db8::ffff", "system/pod-b") {
			t.Error("one more from the network of an address waits")
		}
		if !c.waits("192.0.2.3", "system/pod-b") {
			t.Error("the first from an address does not wait")
		}
		if c.waits("192.0.2.3", "system/pod-c") {
			t.Error("the second from an address waits, though 256 do")
		}
		n := 0
		for c.waits("198.51.100."+strconv.Itoa(n), "system/pod-d") {
			n++
		}
		if n != 255 {
			t.Errorf("of the firsts from an address %d more wait", n)
		}
		if !c.waits("192.0.2.1", "system/pod-a") {
			t.Error("a pod that was let in is kept out with strangers")
		}
		if want := 1 + 512 + 1; c.asked != want {
			t.Errorf("the API server was asked %d times, want %d", c.asked, want)
		}
	})
}

func TestAKnownPodIsAStrangerAfterTwoHours(t *testing.T) {
	gather(t, func(c *crowd) {
		time.Sleep(2*time.Hour - 10*time.Second)
		c.fill("192.0.2.1")
		if !c.waits("192.0.2.1", "system/pod-a") {
			t.Error("it is none before")
		}
		time.Sleep(20 * time.Second)
		c.fill("192.0.2.1")
		if c.waits("192.0.2.1", "system/pod-a") {
			t.Error("it is none after")
		}
	})
}

func TestAQuestionWhoseCallerHasGoneStillCounts(t *testing.T) {
	gather(t, func(c *crowd) {
		ctx, cancel := context.WithCancel(c.t.Context())
		for n := range 64 {
			go func() { _ = c.call(ctx, "192.0.2.1", "system/made-up-"+strconv.Itoa(n)) }()
		}
		synctest.Wait()
		cancel()
		synctest.Wait()
		if c.waits("192.0.2.1", "system/pod-b") {
			t.Error("one more waits")
		}
		if c.asked != 1+64 {
			t.Errorf("the API server was asked %d times", c.asked)
		}
	})
}
