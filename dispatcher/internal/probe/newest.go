package probe

import (
	"container/list"
	"net"
	"net/http"
	"sync"
)

// mostConnections is how many connections there may be at once: those of a kubelet and of a few that scrape need one each, for an instant.
const mostConnections = 100

// newest closes a server's oldest connection for one that is new, where there are too many. Were the new one left waiting, who opens connections
// and says nothing would keep the kubelet's probes out, and have it end the dispatcher.
type newest struct {
	mu sync.Mutex // guards the others
	// open are the connections, the oldest first, and at is where each is in it.
	open *list.List
	at   map[net.Conn]*list.Element
}

// changed takes note of what becomes of a connection (http.Server.ConnState).
func (n *newest) changed(connection net.Conn, state http.ConnState) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch state {
	case http.StateNew:
		n.at[connection] = n.open.PushBack(connection)
		if oldest, ok := n.open.Front().Value.(net.Conn); ok && n.open.Len() > mostConnections {
			n.remove(oldest)
			_ = oldest.Close() // Whoever serves it sees that it has ended.
		}
	case http.StateClosed, http.StateHijacked:
		n.remove(connection)
	case http.StateActive, http.StateIdle:
	}
}

// remove forgets a connection. Call it with mu held.
func (n *newest) remove(connection net.Conn) {
	if where, is := n.at[connection]; is {
		n.open.Remove(where)
		delete(n.at, connection)
	}
}
