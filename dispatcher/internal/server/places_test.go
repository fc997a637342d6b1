package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"multinic.dev/dispatcher/internal/identity"
	"multinic.dev/dispatcher/internal/server"
)

const (
	healthCall  = "/grpc.health.v1.Health/Check"
	listCall    = "/multinic.v1.FleetService/ListNodes"
	sessionCall = "/multinic.v1.DispatchService/Session"
	// all is how many connections there may be, where there are to be 24 sessions; one of the places stays free.
	all = 24 + 1000 - 1
)

// street is a listener to which connections come from any address, in a bubble's time, and a server that reads what they say.
type street struct {
	t    *testing.T
	door *server.Door
	logs *observer.ObservedLogs
	come chan net.Conn
	end  chan struct{}
	port int
}

// visitor is a connection, as who made it sees it.
type visitor struct {
	net.Conn

	from *net.TCPAddr
}

// arrived is a connection, as the server sees it.
type arrived struct {
	net.Conn

	from net.Addr
}

func (a arrived) RemoteAddr() net.Addr { return a.from }

func (s *street) Accept() (net.Conn, error) {
	select {
	case one := <-s.come:
		return one, nil
	case <-s.end:
		return nil, net.ErrClosed
	}
}

func (s *street) Close() error { close(s.end); return nil }

func (s *street) Addr() net.Addr { return &net.TCPAddr{} }

// onStreet runs a test in a bubble.
func onStreet(t *testing.T, test func(*street)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.InfoLevel)
		s := &street{t: t, door: server.NewDoor(24, zap.New(core)), logs: logs, come: make(chan net.Conn), end: make(chan struct{})}
		listener := s.door.Listen(s)
		var serving sync.WaitGroup
		serving.Go(func() {
			for {
				accepted, err := listener.Accept()
				if err != nil {
					return
				}
				serving.Go(func() {
					_, _ = io.Copy(io.Discard, accepted)
					_ = accepted.Close()
				})
			}
		})
		t.Cleanup(func() { _ = listener.Close(); serving.Wait() })
		test(s)
	})
}

// visit connects from an address. The connection ends with the test.
func (s *street) visit(from string) visitor {
	s.t.Helper()
	near, far := net.Pipe()
	s.port++
	one := visitor{Conn: near, from: &net.TCPAddr{IP: net.ParseIP(from), Port: s.port}}
	s.t.Cleanup(func() { _ = near.Close() })
	s.come <- arrived{Conn: far, from: one.from}
	synctest.Wait()

	return one
}

// isOpen says whether the other end has not closed it.
func (v visitor) isOpen() bool {
	_ = v.SetReadDeadline(time.Now().Add(time.Nanosecond))
	_, err := v.Read(make([]byte, 1))

	return errors.Is(err, os.ErrDeadlineExceeded)
}

// open is how many of some are.
func open(some []visitor) int {
	n := 0
	for _, one := range some {
		if one.isOpen() {
			n++
		}
	}

	return n
}

// believed is an identity that lets each call in, as a caller's.
type believed identity.Caller

func (believed) Credentials() credentials.TransportCredentials { return nil }

func (b believed) Authorize(context.Context, string) (identity.Caller, error) {
	return identity.Caller(b), nil
}

// call has a caller make a call on a connection.
func (s *street) call(on visitor, method string, caller identity.Caller) error {
	_, err := s.door.Watch(believed(caller)).Authorize(peer.NewContext(s.t.Context(), &peer.Peer{Addr: on.from}), method)

	return err
}

// counted requires what the door's metrics say.
func (s *street) counted(proved, strangers, address, places, late int) {
	s.t.Helper()
	want := fmt.Sprintf(`
# HELP multinic_dispatcher_connections Connections by TCP: proved (of executors and operators), or stranger (nothing was let in on them but calls for health).
# TYPE multinic_dispatcher_connections gauge
multinic_dispatcher_connections{of="proved"} %d
multinic_dispatcher_connections{of="stranger"} %d
# HELP multinic_dispatcher_connections_closed_total Strangers' connections that were closed: too many of one address, all places taken, or nothing proved in time.
# TYPE multinic_dispatcher_connections_closed_total counter
multinic_dispatcher_connections_closed_total{reason="address"} %d
multinic_dispatcher_connections_closed_total{reason="places"} %d
multinic_dispatcher_connections_closed_total{reason="time"} %d
`, proved, strangers, address, places, late)
	if err := testutil.CollectAndCompare(s.door, strings.NewReader(want)); err != nil {
		s.t.Error(err)
	}
}

func TestAStrangerGoesAfterTwoMinutesHoweverOftenItAsksForHealth(t *testing.T) {
	onStreet(t, func(s *street) {
		pod, operator, node := s.visit("192.0.2.1"), s.visit("192.0.2.1"), s.visit("192.0.2.1")
		if err := errors.Join(s.call(operator, listCall, identity.Caller{Name: "alice"}), s.call(node, sessionCall, identity.Caller{Name: "executor", Node: "node-a"})); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			time.Sleep(20 * time.Second)
			if err := s.call(pod, healthCall, identity.Caller{Name: "any pod"}); err != nil || !pod.isOpen() {
				t.Fatalf("a call for health: error %v, the connection is open: %t", err, pod.isOpen())
			}
		}
		time.Sleep(20 * time.Second)
		if synctest.Wait(); pod.isOpen() {
			t.Error("it is open after two minutes")
		}
		time.Sleep(time.Hour)
		if !operator.isOpen() || !node.isOpen() {
			t.Errorf("open is the operator's: %t, the executor's: %t", operator.isOpen(), node.isOpen())
		}
		s.counted(2, 0, 0, 0, 1)
	})
}

func TestAnAddressWithFewStrangersGetsAPlaceOfOneWithMany(t *testing.T) {
	onStreet(t, func(s *street) {
		var many, few []visitor
		for range 250 {
			many = append(many, s.visit("192.0.2.1"))
		}
		for n := range all - len(many) {
			few = append(few, s.visit(fmt.Sprintf("198.51.%d.%d", n/200, n%200)))
		}
		s.counted(0, all, 0, 0, 0)
		late := s.visit("203.0.113.1")
		if synctest.Wait(); !late.isOpen() || open(many) != 249 || open(few) != len(few) {
			t.Errorf("open is who came last: %t, of the crowd: %d, of others: %d", late.isOpen(), open(many), open(few))
		}
		s.counted(0, all, 0, 1, 0)
		warned := s.logs.FilterMessageSnippet("all places are taken").All()
		if len(warned) != 1 || warned[0].ContextMap()["address"] != "192.0.2.1" {
			t.Errorf("the log has %v", s.logs.All())
		}

		// One more of the crowd takes nobody's place.
		if one := s.visit("192.0.2.1"); one.isOpen() || open(many) != 249 {
			t.Errorf("open is one more of the crowd: %t, of the others: %d", one.isOpen(), open(many))
		}
		s.counted(0, all, 0, 2, 0)
	})
}

func TestNoPlaceIsTakenFromWhoHasProvedWhoItIs(t *testing.T) {
	onStreet(t, func(s *street) {
		var nodes []visitor
		for n := range all {
			node := s.visit("192.0.2.1")
			if err := s.call(node, sessionCall, identity.Caller{Name: fmt.Sprint("executor ", n), Node: "node"}); err != nil {
				t.Fatal(err)
			}
			nodes = append(nodes, node)
		}
		if one := s.visit("203.0.113.1"); one.isOpen() || open(nodes) != all {
			t.Errorf("open is one more: %t, of the nodes: %d", one.isOpen(), open(nodes))
		}
		_ = nodes[0].Close()
		synctest.Wait()
		if one := s.visit("203.0.113.1"); !one.isOpen() {
			t.Error("there is no place when one has gone")
		}
		s.counted(all-1, 1, 0, 1, 0)
	})
}

func TestANodeHasFourConnectionsAndAnOperatorSixteen(t *testing.T) {
	for method, test := range map[string]struct {
		caller identity.Caller
		most   int
	}{
		sessionCall: {identity.Caller{Name: "executor on node-a", Node: "node-a"}, 4},
		listCall:    {identity.Caller{Name: "alice"}, 16},
	} {
		onStreet(t, func(s *street) {
			var first visitor
			for n := range test.most {
				one := s.visit("192.0.2.1")
				if err := errors.Join(s.call(one, method, test.caller), s.call(one, method, test.caller)); err != nil {
					t.Fatalf("%s, connection %d: %v", test.caller.Name, n, err)
				}
				if n == 0 {
					first = one
				}
			}
			more := s.visit("192.0.2.1")
			if err := s.call(more, method, test.caller); status.Code(err) != codes.ResourceExhausted {
				t.Errorf("%s, one more: %v", test.caller.Name, err)
			}
			if err := s.call(s.visit("192.0.2.1"), method, identity.Caller{Name: "another", Node: test.caller.Node}); err != nil {
				t.Errorf("another caller: %v", err)
			}
			s.counted(test.most+1, 1, 0, 0, 0)
			_ = first.Close()
			synctest.Wait()
			if err := s.call(more, method, test.caller); err != nil {
				t.Errorf("%s, when one has gone: %v", test.caller.Name, err)
			}
		})
	}
}

func TestWantOfPlacesIsLoggedOnceAMinute(t *testing.T) {
	onStreet(t, func(s *street) {
		for range places + 10 {
			s.visit("192.0.2.1")
		}
		warned := func() []observer.LoggedEntry { return s.logs.FilterMessageSnippet("too many from its address").All() }
		if len(warned()) != 1 {
			t.Errorf("the log has %v", s.logs.All())
		}
		time.Sleep(time.Minute)
		s.visit("192.0.2.1")
		if all := warned(); len(all) != 2 || all[1].ContextMap()["not_logged_before"] != int64(9) {
			t.Errorf("a minute later, the log has %v", s.logs.All())
		}
		s.counted(0, places, 11, 0, 0)
	})
}
