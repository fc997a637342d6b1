package identity

import (
	"context"
	"net"
	"net/netip"
	"sync"

	"google.golang.org/grpc/peer"
)

// How many calls may wait for the API server at a time. Anybody can make up tokens that only the API server can tell from good ones, and
// the questions of all wait in one line for our own limit on them: with these, for half a second at most.
const (
	// strangersAtOnce is for tokens of whom nobody was let in of late. Up to twice as many are let wait if none of their address does: whoever
	// takes all the places from a few addresses keeps out no other.
	strangersAtOnce = 256
	// addressAtOnce is how many of those may come from one address. Many nodes may share one.
	addressAtOnce = 64
	// knownAtOnce is for one pod or service account that was let in of late, or one user whose rights are asked for, whatever strangers do.
	knownAtOnce = callsAtOnce
	// networkBits is how much of an IPv6 address says whose it is: a host has all addresses of such a network for the taking.
	networkBits = 64
)

// line is whom a call that waits counts with.
type line struct {
	name string
	// stranger is whether it is an address, and so counts with all other addresses too.
	stranger bool
}

// turns counts what waits for the API server. Safe concurrently.
type turns struct {
	mu        sync.Mutex // guards the others
	waiting   map[line]int
	strangers int
}

// take lets one more wait; leave must be called when it has its answer. False: too many wait.
func (t *turns) take(in line) (leave func(), ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	waiting := t.waiting[in]
	switch {
	case !in.stranger && waiting >= knownAtOnce,
		in.stranger && waiting >= addressAtOnce,
		in.stranger && waiting > 0 && t.strangers >= strangersAtOnce,
		in.stranger && t.strangers >= 2*strangersAtOnce:
		return nil, false
	}
	t.count(in, 1)

	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.count(in, -1)
	}, true
}

func (t *turns) count(in line, more int) {
	if t.waiting[in] += more; t.waiting[in] == 0 {
		delete(t.waiting, in)
	}
	if in.stranger {
		t.strangers += more
	}
}

// strangerOf is the line of a caller of whom nothing is known but where it calls from.
func strangerOf(ctx context.Context) line {
	caller, ok := peer.FromContext(ctx)
	if !ok {
		return line{stranger: true}
	}
	network, _ := NetworkOf(caller.Addr)

	return line{name: network, stranger: true}
}

// NetworkOf is what says whose an address is: itself, or the /64 of one of IPv6, of which a host has all for the taking. False: it is none,
// such as that of a unix socket.
func NetworkOf(of net.Addr) (string, bool) {
	host, _, err := net.SplitHostPort(of.String())
	if err != nil {
		return "", false
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return "", false
	}
	if address = address.Unmap(); address.Is6() {
		if network, err := address.WithZone("").Prefix(networkBits); err == nil {
			address = network.Addr()
		}
	}

	return address.String(), true
}
