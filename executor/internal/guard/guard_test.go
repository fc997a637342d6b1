package guard_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"multinic.dev/executor/internal/guard"
	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/transaction"
)

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }

// world is a node with one link, a gateway, and a dispatcher behind it.
type world struct {
	mu sync.Mutex // guards the others

	kernel    plan.Kernel
	ways      map[netip.Addr]plan.Path
	answers   bool
	reachable bool
	dialled   int
}

func newWorld() *world {
	w := &world{answers: true, reachable: true, ways: map[netip.Addr]plan.Path{
		addr("192.0.2.1"):    {Link: 2, Source: addr("192.0.2.5")},
		addr("198.51.100.9"): {Link: 2, Source: addr("192.0.2.5"), Via: addr("192.0.2.1")},
	}}
	w.kernel = plan.Kernel{
		Links:  []plan.Link{{Index: 2, Name: "eth0", MAC: "02:00:00:00:00:02", Up: true, MTU: 1500, Addresses: []plan.Address{{Prefix: netip.MustParsePrefix("192.0.2.5/24")}}}},
		Routes: []plan.Route{{Table: plan.MainTable, To: netip.MustParsePrefix("0.0.0.0/0"), Via: addr("192.0.2.1"), Link: 2}},
	}

	return w
}

func (w *world) Read(context.Context) (plan.Kernel, error) {
	w.mu.Lock()
	defer w.mu.Unlock()

	return w.kernel, nil
}

func (w *world) Lookup(destination netip.Addr) (plan.Path, error) {
	w.mu.Lock()
	defer w.mu.Unlock()

	return w.ways[destination], nil
}

func (w *world) guard() *guard.Guard {
	return guard.New(guard.Config{
		Kernel: w,
		Targets: func(context.Context) []guard.Target {
			return []guard.Target{{"the dispatcher", addr("198.51.100.9")}, {"nobody", addr("203.0.113.1")}}
		},
		Answers: func(context.Context, int, netip.Addr, netip.Addr) (bool, error) {
			w.mu.Lock()
			defer w.mu.Unlock()

			return w.answers, nil
		},
		Dial: func(context.Context) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.dialled++
			if !w.reachable {
				return errors.New("connection refused")
			}

			return nil
		},
		DialTimeout: 5 * time.Second, Log: zap.NewNop(),
	})
}

func TestWhatIsLostForTwoSecondsIsToBeUndone(t *testing.T) {
	const rerouted = "the node's way has changed, so all was put back: the dispatcher (198.51.100.9) was reached by the link with index 2 via 192.0.2.1 from 192.0.2.5" +
		" and now is reached "
	noAddress := func(w *world) {
		w.kernel.Links = []plan.Link{{Index: 2, Name: "eth0", MAC: "02:00:00:00:00:02", Up: true, MTU: 1500}}
	}
	for _, test := range []struct {
		name   string
		happen func(w *world)
		back   time.Duration // after which all is as it was; 0: never
		want   string
		path   bool
	}{
		{"nothing", func(*world) {}, 0, "<nil>", false},
		{"an address", noAddress, 0, "the node's own network has lost something meanwhile, so all was put back: eth0 has lost the address 192.0.2.5/24", false},
		{"an address that comes back in time", noAddress, time.Second, "<nil>", false},
		{"an address that comes back too late", noAddress, 3 * time.Second, "the node's own network has lost something meanwhile", false},
		{"the way to the dispatcher", func(w *world) {
			w.ways = map[netip.Addr]plan.Path{addr("192.0.2.1"): w.ways[addr("192.0.2.1")], addr("198.51.100.9"): {Link: 7, Source: addr("10.0.0.1")}}
		}, 0, rerouted + "by the link with index 7 from 10.0.0.1", true},
		{"any way to the dispatcher", func(w *world) {
			w.ways = map[netip.Addr]plan.Path{addr("192.0.2.1"): w.ways[addr("192.0.2.1")]}
		}, 0, rerouted + "not at all", true},
		{"the way for a moment", func(w *world) { w.ways = nil }, time.Second, "<nil>", false},
		{"the dispatcher alone", func(w *world) { w.reachable = false }, 0, "<nil>", false},
		{"the gateway alone", func(w *world) { w.answers = false }, 0, "<nil>", false},
		{"the dispatcher and the gateway", func(w *world) { w.reachable, w.answers = false, false }, 0,
			"the node's way has changed, so all was put back: the default gateway (192.0.2.1) does not answer any more", true},
		{"both for a moment", func(w *world) { w.reachable, w.answers = false, false }, time.Second, "<nil>", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				after, err := w.guard().Begin(t.Context(), w.kernel, nil)
				if err != nil {
					t.Fatal(err)
				}
				test.happen(w)
				if test.back != 0 {
					time.AfterFunc(test.back, func() {
						was := newWorld()
						w.mu.Lock()
						defer w.mu.Unlock()
						w.kernel, w.ways, w.answers, w.reachable = was.kernel, was.ways, true, true
					})
				}
				err = after(t.Context())
				if got := fmt.Sprint(err); !strings.HasPrefix(got, test.want) || errors.Is(err, transaction.ErrPathChanged) != test.path {
					t.Errorf("got %s", got)
				}
				time.Sleep(5 * time.Second) // What was to come back has.
			})
		})
	}
}

func TestAGatewayThatNeverAnsweredIsNotMissed(t *testing.T) {
	w := newWorld()
	w.answers = false
	after, err := w.guard().Begin(t.Context(), w.kernel, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.reachable = false
	if err := after(t.Context()); err != nil || w.dialled != 1 {
		t.Errorf("%v after %d dials", err, w.dialled)
	}
}

func TestTheTargetsAreFoundWhereTheyAreWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(path, []byte("# a comment\nsearch example\nnameserver 192.0.2.53\nnameserver fe80::1%eth0\nnameserver\nsortlist\nnameserver bad\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ dispatcher, api, resolv, want string }{
		{"198.51.100.9:8443", "10.96.0.1", path, "[{the dispatcher 198.51.100.9} {the API server 10.96.0.1} {a resolver 192.0.2.53} {a resolver fe80::1%eth0}]"},
		{"unix:/run/s", "", path + "-missing", "[]"},
		{"localhost:1", "kubernetes", path + "-missing", "[{the dispatcher "},
	} {
		if got := fmt.Sprint(guard.Around(test.dispatcher, test.api, test.resolv)(t.Context())); !strings.HasPrefix(got, test.want) {
			t.Errorf("got %s, want %s", got, test.want)
		}
	}
}
