package server

import (
	"net"

	"golang.org/x/net/netutil"
)

// spareConnections is how many connections there may be besides one for each session: of operators, of executors whose last one has not
// ended yet, and of those who have not said yet who they are.
const spareConnections = 1000

// Limit is a listener with as many connections at once as so many sessions need, and 1,000 besides. Who comes then waits until another one has
// gone: one without a handshake goes within ten seconds, one without a call within a minute.
func Limit(listener net.Listener, sessions int) net.Listener {
	return netutil.LimitListener(listener, sessions+spareConnections)
}
