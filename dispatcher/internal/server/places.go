package server

import (
	"net"
	"time"

	"multinic.dev/dispatcher/internal/identity"
)

// connection is one that the door has let in.
type connection struct {
	net.Conn

	door *Door
	// network and address are where it comes from.
	network, address string
	// late closes it when it has been a stranger's for too long.
	late *time.Timer
	// caller is who has proved that it is its own; empty: nobody, or one without a name. gone says that it has no place any more. The door's mu
	// guards both.
	caller string
	gone   bool
}

// Close is that of net.Conn.
func (c *connection) Close() error {
	c.door.mu.Lock()
	c.door.leave(c)
	c.door.mu.Unlock()

	return c.Conn.Close() //nolint:wrapcheck // as if it were closed itself
}

// enter lets a connection in; nil: there is no place for it. One without an address, as by a unix socket, is this machine's own.
func (d *Door) enter(accepted net.Conn) net.Conn {
	from := accepted.RemoteAddr()
	network, ok := identity.NetworkOf(from)
	if !ok {
		return accepted
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.strangers[network]) >= d.strangersOfOne {
		d.refuse(ofAddress, network, d.strangersOfOne)

		return nil
	}
	// The last place is left free: nobody's address is known before it is accepted.
	if d.open >= d.most-1 && !d.makePlace(network) {
		return nil
	}
	let := &connection{Conn: accepted, door: d, network: network, address: from.String()}
	let.late = time.AfterFunc(strangerTimeout, func() { d.expire(let) })
	d.open++
	if d.strangers[network] == nil {
		d.strangers[network] = map[string]*connection{}
	}
	d.strangers[network][let.address] = let

	return let
}

// makePlace closes any stranger of the network that has the most, for one of a network that has fewer even with it; false: there is none. So
// who fills all places from a few addresses keeps out no other. Call it with mu held.
func (d *Door) makePlace(network string) bool {
	crowd := network
	for other, strangers := range d.strangers {
		if len(strangers) > len(d.strangers[crowd]) {
			crowd = other
		}
	}
	if len(d.strangers[crowd]) <= len(d.strangers[network])+1 {
		d.refuse(ofAll, network, d.most)

		return false
	}
	for _, one := range d.strangers[crowd] {
		d.leave(one)
		_ = one.Conn.Close() // Whoever serves it sees that it has ended.

		break
	}
	d.refuse(ofAll, crowd, d.most)

	return true
}

// prove makes the connection from an address, if it is a stranger's, one of the caller's; false: the caller has too many.
func (d *Door) prove(from net.Addr, caller identity.Caller) bool {
	network, ok := identity.NetworkOf(from)
	if !ok {
		return true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	one := d.strangers[network][from.String()]
	if one == nil {
		return true
	}
	most := connectionsOfACaller
	if caller.Node != "" {
		most = connectionsOfANode
	}
	if caller.Name != "" {
		if d.callers[caller.Name] >= most {
			return false
		}
		d.callers[caller.Name]++
	}
	one.caller = caller.Name
	d.known(one)

	return true
}

// expire closes a connection that is a stranger's still.
func (d *Door) expire(one *connection) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.strangers[one.network][one.address] != one {
		return
	}
	d.closed.WithLabelValues(ofTime).Inc()
	d.leave(one)
	_ = one.Conn.Close() // Whoever serves it sees that it has ended.
}

// leave gives a connection's place free, whichever has come from its address since. Call it with mu held.
func (d *Door) leave(one *connection) {
	if one.gone {
		return
	}
	one.gone = true
	d.open--
	d.known(one)
	if one.caller == "" {
		return
	}
	if d.callers[one.caller]--; d.callers[one.caller] == 0 {
		delete(d.callers, one.caller)
	}
}

// known counts a connection as a stranger's no more. Call it with mu held.
func (d *Door) known(one *connection) {
	one.late.Stop()
	if d.strangers[one.network][one.address] != one {
		return
	}
	delete(d.strangers[one.network], one.address)
	if len(d.strangers[one.network]) == 0 {
		delete(d.strangers, one.network)
	}
}
