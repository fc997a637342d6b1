package session

import (
	"context"
	"net"
	"time"
)

const (
	// connectAgain is after how long without an answer one more connection is tried beside those before it. An answer takes a
	// fraction of a second, and a lost packet is sent again after one.
	connectAgain = time.Second
	// connectTries is how many are tried at the same time at most.
	connectTries = 5
)

// tried is what has become of one try.
type tried struct {
	connection net.Conn
	err        error
}

// connect makes a connection to host:port. The address of a Kubernetes Service leads each connection to one of the pods behind it, by
// chance, and for as long as a node is gone without a word one of them may be a pod that was on it. So the wait for one that does not
// answer is not the wait for all.
func connect(ctx context.Context, address string) (net.Conn, error) {
	dialer := net.Dialer{KeepAlive: -1} // gRPC itself asks whether the other end is still there.

	return firstOf(ctx, func(ctx context.Context) (net.Conn, error) { return dialer.DialContext(ctx, "tcp", address) })
}

// firstOf returns the first connection that is made. An error is that of the last try that was left: whoever is refused is so at once. Dial
// must return when its ctx ends; nothing that was begun is left.
func firstOf(ctx context.Context, dial func(context.Context) (net.Conn, error)) (net.Conn, error) {
	ended := make(chan tried)
	ctx, cancel := context.WithCancel(ctx)
	open := 0
	defer func() {
		cancel()
		for ; open > 0; open-- {
			if late := <-ended; late.err == nil {
				_ = late.connection.Close() // Nothing was said on it.
			}
		}
	}()
	begin := func() {
		open++
		go func() {
			connection, err := dial(ctx)
			ended <- tried{connection, err}
		}()
	}
	begin()
	tick := time.NewTicker(connectAgain)
	defer tick.Stop()
	for begun := 1; ; {
		select {
		case one := <-ended:
			if open--; one.err == nil || open == 0 {
				return one.connection, one.err
			}
		case <-tick.C:
			if begun < connectTries {
				begun++
				begin()
			}
		}
	}
}
