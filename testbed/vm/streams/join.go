package streams

import (
	"io"
	"sync"
)

// Connection is a connection that can be closed in one direction, as those of unix and TCP can.
type Connection interface {
	io.ReadWriteCloser
	CloseWrite() error
}

// Join passes on what comes out of either into the other, until both directions have ended, or one is broken, and closes
// both.
func Join(s *Stream, connection io.ReadWriteCloser) {
	var both sync.WaitGroup
	pass := func(to io.Writer, from io.Reader) {
		_, err := io.Copy(to, from)
		half, ok := to.(interface{ CloseWrite() error })
		if err == nil && ok {
			err = half.CloseWrite()
		}
		if err != nil || !ok {
			_, _ = s.Close(), connection.Close() // Neither is of use without the other.
		}
	}
	both.Go(func() { pass(connection, s) })
	both.Go(func() { pass(s, connection) })
	over := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		select {
		case <-s.broken:
			_ = connection.Close() // Or whoever writes to it would wait for somebody who does not read.
		case <-over:
		}
	})
	both.Wait()
	close(over)
	watching.Wait()
	_, _ = s.Close(), connection.Close()
}
