package server

import (
	"context"
	"net"
	"sync"

	"go.uber.org/zap"
	"golang.org/x/net/netutil"
	"golang.org/x/time/rate"
	"google.golang.org/grpc/peer"

	"multinic.dev/dispatcher/internal/identity"
)

const (
	// spareConnections is how many connections there may be besides one for each session: of operators, of executors whose last one has not
	// ended yet, and of those who have not said yet who they are.
	spareConnections = 1000
	// strangersShare is which part of all connections may come from one address without having proved who they are. Thousands of nodes may come
	// from behind one address, all at once after a restart, and those for whom there is no place try again; who proves nothing keeps out no other
	// address as long as there are fewer of it than this.
	strangersShare = 4
)

// Door lets connections in: as many at once as so many sessions need and 1,000 besides, and from one address (of IPv6: one /64) no more than a
// quarter of these that have not proved who they are. Safe concurrently.
type Door struct {
	most, strangers int
	log             *zap.Logger
	loud            *rate.Limiter

	mu sync.Mutex // guards the others
	// unproved are the connections that have not proved anything, by the text of the address that they come from; ofNetwork is how many of them
	// come from one network, and none has no entry.
	unproved  map[string]*connection
	ofNetwork map[string]int
	// unlogged are the connections that were closed since it was last logged.
	unlogged int
}

// NewDoor returns a door for so many sessions. The log gets which address has had connections closed, once a second at most.
func NewDoor(sessions int, log *zap.Logger) *Door {
	most := sessions + spareConnections

	return &Door{
		most: most, strangers: most / strangersShare, log: log, loud: rate.NewLimiter(1, 1),
		unproved: map[string]*connection{}, ofNetwork: map[string]int{},
	}
}

// Listen is a listener with no more connections than the door lets in. Who comes when all places are taken waits until another one has gone:
// one without a handshake goes within ten seconds, one without a call within a minute. Who comes when its address has too many that have
// proved nothing is closed at once.
func (d *Door) Listen(listener net.Listener) net.Listener {
	return netutil.LimitListener(watched{Listener: listener, door: d}, d.most)
}

// Watch is an identity by which a connection proves who it is: as soon as it has made one call that is let in.
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
	if from, ok := peer.FromContext(ctx); err == nil && ok {
		w.door.forget(from.Addr.String())
	}

	return caller, err
}

// watched is a listener whose connections the door knows.
type watched struct {
	net.Listener

	door *Door
}

// Accept passes over connections of an address that has too many.
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

// connection is one that the door has let in.
type connection struct {
	net.Conn

	door    *Door
	network string
	// counted says whether it still counts as one that has proved nothing; the door's mu guards it.
	counted bool
}

// Close is that of net.Conn.
func (c *connection) Close() error {
	c.door.leave(c)

	return c.Conn.Close() //nolint:wrapcheck // as if it were closed itself
}

// enter lets a connection in; nil: there are too many of its kind. One without an address, as by a unix socket, is this machine's own.
func (d *Door) enter(accepted net.Conn) net.Conn {
	from := accepted.RemoteAddr()
	network, ok := identity.NetworkOf(from)
	if !ok {
		return accepted
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ofNetwork[network] >= d.strangers {
		d.complain(network)

		return nil
	}
	let := &connection{Conn: accepted, door: d, network: network, counted: true}
	d.ofNetwork[network]++
	d.unproved[from.String()] = let

	return let
}

// complain logs that an address has too many connections, unless that was just logged. Call it with mu held.
func (d *Door) complain(network string) {
	if !d.loud.Allow() {
		d.unlogged++

		return
	}
	d.log.Warn("a connection was closed: too many from its address have not proved who they are", zap.String("address", network),
		zap.Int("at_once", d.strangers), zap.Int("not_logged_before", d.unlogged))
	d.unlogged = 0
}

// forget counts the connection from an address, if there is one that has proved nothing, no more.
func (d *Door) forget(address string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if one := d.unproved[address]; one != nil {
		d.discount(one)
	}
}

// leave is forget for a connection that ends, whichever has come from its address since.
func (d *Door) leave(one *connection) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.discount(one)
}

func (d *Door) discount(one *connection) {
	if !one.counted {
		return
	}
	one.counted = false
	if address := one.RemoteAddr().String(); d.unproved[address] == one {
		delete(d.unproved, address)
	}
	if d.ofNetwork[one.network]--; d.ofNetwork[one.network] == 0 {
		delete(d.ofNetwork, one.network)
	}
}
