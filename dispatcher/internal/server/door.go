package server

import (
	"context"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/net/netutil"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"

	"multinic.dev/dispatcher/internal/identity"
)

const (
	// spareConnections is how many connections there may be besides one for each session: of operators, of executors whose last one has not
	// ended yet, and of strangers, who have not proved yet who they are.
	spareConnections = 1000
	// strangersShare is which part of all connections may come from one address without having proved who they are. Thousands of nodes may come
	// from behind one address, all at once after a restart, and those for whom there is no place try again; who proves nothing keeps out no other
	// address as long as there are fewer of it than this.
	strangersShare = 4
	// strangerTimeout is how long a connection may be one of a stranger: longer than one without a call stays, and not for ever for one that
	// asks for health alone, or is refused again and again.
	strangerTimeout = 2 * time.Minute
	// connectionsOfANode and connectionsOfACaller are how many connections one node's executor may have, which needs one, and another one
	// while the first ends, and how many one operator, or whatever shares its account.
	connectionsOfANode   = 4
	connectionsOfACaller = 16
)

// Door lets connections in: as many at once as so many sessions need and 1,000 besides, and from one address (of IPv6: one /64) no more than a
// quarter of these by strangers, who have not proved that they are executors or operators. It is a prometheus.Collector of what it did. Safe
// concurrently.
type Door struct {
	counts

	most, strangersOfOne int

	mu sync.Mutex // guards the others
	// open is how many connections there are.
	open int
	// strangers are those that have not proved anything, by the network and the text of the address that they come from. No network is empty.
	strangers map[string]map[string]*connection
	// callers is how many connections each caller has proved to be its own; none has no entry.
	callers map[string]int
	// said is what was logged of each reason to close a connection.
	said map[string]*saying
}

// NewDoor returns a door for so many sessions. The log gets why connections were closed for want of a place, of each reason once a minute at most.
func NewDoor(sessions int, log *zap.Logger) *Door {
	most := sessions + spareConnections

	return &Door{
		most: most, strangersOfOne: most / strangersShare, counts: newCounts(log),
		strangers: map[string]map[string]*connection{}, callers: map[string]int{}, said: map[string]*saying{},
	}
}

// Listen is a listener with no more connections than the door lets in. Who comes when its address has too many strangers is closed at once. When
// the last place is taken, a stranger of the address that has the most goes for one of an address that has fewer; if there is none, who comes is
// closed. One without a handshake goes within ten seconds, a stranger within two minutes.
func (d *Door) Listen(listener net.Listener) net.Listener {
	return netutil.LimitListener(watched{Listener: listener, door: d}, d.most)
}

// Watch is an identity by which a connection proves whose it is: as soon as a call on it is let in that executors or operators alone may make.
// Such a call is refused where its caller has as many connections as one may have.
func (d *Door) Watch(who identity.Identity) identity.Identity {
	return watching{Identity: who, door: d}
}

// watching is an identity that the door learns from.
type watching struct {
	identity.Identity

	door *Door
}

func (w watching) Authorize(ctx context.Context, method string) (identity.Caller, error) {
	caller, err := w.Identity.Authorize(ctx, method)
	if err != nil || !identity.Proves(method) {
		return caller, err
	}
	if from, ok := peer.FromContext(ctx); ok && !w.door.prove(from.Addr, caller) {
		return identity.Caller{}, &identity.RefusedError{
			Code: codes.ResourceExhausted, Caller: caller.Name, Why: "there are too many connections of this caller",
		}
	}

	return caller, nil
}

// watched is a listener whose connections the door knows.
type watched struct {
	net.Listener

	door *Door
}

// Accept passes over connections for which there is no place.
func (w watched) Accept() (net.Conn, error) {
	for {
		accepted, err := w.Listener.Accept()
		if err != nil {
			return nil, err //nolint:wrapcheck // as if the listener were asked itself
		}
		if let := w.door.enter(accepted); let != nil {
			return let, nil
		}
		_ = accepted.Close() // Nothing was said on it.
	}
}
